// Hyperparameters of the decoder and of the vision encoder, read from GGUF metadata and checked.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "hyt/gguf_file.h"

namespace hyt {

// The tensor (head_dim / 2) by which the angles of each pair of a head are divided, as llama.cpp names it.
constexpr const char* kRopeDivisors = "rope_freqs.weight";

enum class Activation { gelu_tanh, gelu_erf, gelu_quick, silu };

// A decoder-only transformer. What differs between families stands here, so the graph asks no family by name.
struct DecoderParams {
    std::string architecture;  // general.architecture
    int64_t layers;
    int64_t hidden;
    int64_t heads;
    int64_t kv_heads;  // divides heads
    int64_t head_dim;
    int64_t feed_forward;
    int64_t vocabulary;  // rows of the embedding, padding included
    int64_t context;     // positions
    int64_t window;      // of the sliding layers: key j is visible to query i when i - j < window
    bool even_layers_slide;
    float rms_epsilon;
    float rope_base;
    float rope_scale;                  // of all positions; 1: as they are
    std::vector<float> rope_divisors;  // (head_dim / 2) of the angle of each pair; empty: none
    float embedding_scale;             // of text embeddings
    float attention_scale;
    float attention_softcap;  // 0: none
    float final_softcap;      // 0: none
    Activation activation;    // of the gated feed-forward
    bool post_norms;          // behind attention and feed-forward
    bool query_key_norms;     // of every head, before rotation
    bool biases;              // of queries, keys and values
    bool tied;                // the embedding is the output matrix
    bool rotates_pairs;       // rotary halves: neighbours (x0, x1), not (x0, x[head_dim / 2])
    bool causal;              // of a prefix each position sees only those before it, not all

    int64_t query_width() const { return heads * head_dim; }
    int64_t kv_width() const { return kv_heads * head_dim; }
    bool slides(int64_t layer) const { return even_layers_slide && layer % 2 == 0; }
};

// A vision transformer over square patches. Its sequence is: class token, registers, patches.
struct TowerParams {
    std::string tensors;  // prefix of its tensors' names
    int64_t image_size;   // pixels, square
    int64_t patch_size;
    int64_t layers;
    int64_t hidden;
    int64_t heads;
    int64_t feed_forward;
    float norm_epsilon;
    std::array<float, 3> mean;  // pixels become (x / 255 - mean) / deviation
    std::array<float, 3> deviation;
    Activation activation;
    bool class_token;
    bool class_position;  // the class token has a position of its own, the first one
    int64_t registers;
    bool patch_bias;
    bool pre_norm;     // before the first layer
    bool post_norm;    // behind the last one
    bool layer_scale;  // of what attention and feed-forward add

    int64_t patches_per_side() const { return image_size / patch_size; }
    int64_t patches() const { return patches_per_side() * patches_per_side(); }
    int64_t patch_values() const { return 3 * patch_size * patch_size; }
    int64_t head_dim() const { return hidden / heads; }
    int64_t prefix() const { return (class_token ? 1 : 0) + registers; }  // tokens before the patches
};

// One or two towers that see the same image, their features side by side, and the projector behind them:
// linear maps with GELU in between.
struct VisionParams {
    int64_t image_size;               // pixels, square
    std::vector<TowerParams> towers;  // all with the same number of patches
    std::vector<int64_t> projector;   // width behind each map; the last is the decoder's hidden width

    int64_t patches() const { return towers[0].patches(); }
    int64_t projection() const { return projector.back(); }
};

// Throw Error that names the key when one is missing, of another type, out of range, or does not fit the
// others.
DecoderParams read_decoder_params(const GgufFile& file);
VisionParams read_vision_params(const GgufFile& file);

}  // namespace hyt
