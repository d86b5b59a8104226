// A decoder's operators where its matrices lie in strips: each does what takes ggml several, and activations
// are quantised once, where they are made.
//
// "Quantised" is a tensor of bytes (activations of one column, columns), tiled as strips.h says. A graph of
// these and of product.h's operators alone runs on the core's own threads (backend.h) and allocates nothing.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <vector>

#include "hyt/hparams.h"
#include "hyt/strips.h"

namespace hyt::fused {

// What the operators of one decoder share; must outlive its graphs.
struct Context {
    const StripKernels* kernels;
    DecoderParams params;
    std::vector<float> turns;  // (head_dim / 2, positions) cosines, then sines as many

    Context(const StripKernels* kernels, const DecoderParams& params, int64_t positions);
    int64_t positions() const { return static_cast<int64_t>(turns.size()) / params.head_dim; }
};

// Rows of `table` (hidden, vocabulary) of any weight type, times the embedding's scale: ids (n) -> (hidden,
// n) float32. With `others` (hidden, m) row i of it takes the place of position `places[i]` (int64),
// unscaled.
ggml_tensor* embedded(ggml_context* c, const Context& context, ggml_tensor* table, ggml_tensor* ids,
                      ggml_tensor* others, ggml_tensor* places);

// RMSNorm of x (hidden, n) -> quantised.
ggml_tensor* normed(ggml_context* c, const Context& context, ggml_tensor* x, ggml_tensor* weight);

// x += h, h first normed where `post` is there; then the new x normed with `weight` -> quantised, or float32
// where `plain`. All (hidden, n); x is changed in place.
ggml_tensor* added_normed(ggml_context* c, const Context& context, ggml_tensor* x, ggml_tensor* h,
                          ggml_tensor* post, ggml_tensor* weight, bool plain);

// activation(first half) * second half of each column: x (2 wide, n) -> quantised.
ggml_tensor* gated(ggml_context* c, const Context& context, ggml_tensor* x);

// Queries and keys of qkv (query_width + 2 kv_width, n) normed where `query_norm` and `key_norm` are there
// and rotated to `positions`, in place; keys and values also written to rows `cells` of `keys` and `values`.
// Gives qkv. Without queries, qkv is (2 kv_width, n).
ggml_tensor* turned_stored(ggml_context* c, const Context& context, ggml_tensor* qkv, ggml_tensor* positions,
                           ggml_tensor* cells, ggml_tensor* keys, ggml_tensor* values,
                           ggml_tensor* query_norm, ggml_tensor* key_norm);

}  // namespace hyt::fused
