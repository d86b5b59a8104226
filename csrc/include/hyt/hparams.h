// Hyperparameters of the decoder and of the vision encoder, read from GGUF metadata and checked.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "hyt/gguf_file.h"

namespace hyt {

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
    float embedding_scale;  // of text embeddings
    float attention_scale;
    float attention_softcap;  // 0: none
    float final_softcap;      // 0: none

    int64_t query_width() const { return heads * head_dim; }
    int64_t kv_width() const { return kv_heads * head_dim; }
    bool slides(int64_t layer) const { return even_layers_slide && layer % 2 == 0; }
};

// A vision transformer over square patches and the projector behind it.
struct VisionParams {
    int64_t image_size;  // pixels, square
    int64_t patch_size;
    int64_t layers;
    int64_t hidden;
    int64_t heads;
    int64_t feed_forward;
    int64_t projection;  // width of the projector's output: the decoder's hidden width
    float norm_epsilon;
    std::array<float, 3> mean;  // pixels become (x / 255 - mean) / deviation
    std::array<float, 3> deviation;

    int64_t patches_per_side() const { return image_size / patch_size; }
    int64_t patches() const { return patches_per_side() * patches_per_side(); }
    int64_t patch_values() const { return 3 * patch_size * patch_size; }
    int64_t head_dim() const { return hidden / heads; }
};

// Throw Error that names the key when one is missing, of another type, out of range, or does not fit the
// others.
DecoderParams read_decoder_params(const GgufFile& file);
VisionParams read_vision_params(const GgufFile& file);

}  // namespace hyt
