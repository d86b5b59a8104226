// The decoder's weights under llama.cpp's tensor names, with the action head cut out of the output matrix.
#pragma once

#include <cstdint>
#include <vector>

#include "hyt/gguf_file.h"
#include "hyt/hparams.h"
#include "hyt/weights.h"

namespace hyt {

// Shapes are (columns, rows): what goes in, what comes out.
struct DecoderLayer {
    ggml_tensor *attention_norm, *feed_forward_norm;            // (hidden)
    ggml_tensor *post_attention_norm, *post_feed_forward_norm;  // (hidden) or null
    ggml_tensor *query_norm, *key_norm;                         // (head_dim) or null
    ggml_tensor* qkv_bias;                                      // (query_width + 2 kv_width) or null
    ggml_tensor* qkv;                  // (hidden, query_width + 2 kv_width), null when the types differ: then
    ggml_tensor *query, *key, *value;  // (hidden, query_width), (hidden, kv_width) twice
    ggml_tensor* out;                  // (query_width, hidden)
    ggml_tensor* gate_up;              // (hidden, 2 feed_forward), null when the types differ: then
    ggml_tensor *gate, *up;            // (hidden, feed_forward) each
    ggml_tensor* down;                 // (feed_forward, hidden)
};

struct DecoderWeights {
    // Declares and loads all of them. Throws Error on the first tensor that is missing or of another shape.
    DecoderWeights(const Backend& backend, const GgufFile& file, const DecoderParams& params,
                   const std::vector<int32_t>& action_ids);

    size_t bytes() const { return storage.bytes(); }

    Weights storage;
    ggml_tensor* embedding;  // (hidden, vocabulary)
    ggml_tensor* output;     // (hidden, vocabulary); the embedding where they are tied
    ggml_tensor*
        action_head;  // (hidden, action ids): the output matrix' rows of the action tokens; null: none
    ggml_tensor* output_norm;    // (hidden)
    ggml_tensor* rope_divisors;  // (head_dim / 2) or null
    std::vector<DecoderLayer> layers;
};

}  // namespace hyt
