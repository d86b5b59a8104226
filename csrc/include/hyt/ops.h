// Operators that ggml does not have in the form an exact and fast CPU decoder wants; on a backend without our
// kernels each is composed from ggml's own.
#pragma once

#include <ggml.h>

#include <cstdint>

#include "hyt/hparams.h"

namespace hyt {
class Backend;
}

namespace hyt::ops {

// Activation of x + bias. x (n, columns), bias (n) -> (n, columns), float32. Some of ggml's own CPU
// activations read a float16 table; the kernels are exact to float32 rounding.
ggml_tensor* activated_sum(ggml_context* context, const Backend& backend, Activation kind, ggml_tensor* x,
                           ggml_tensor* bias);

// activation(gate) * up. Both (n, columns), perhaps views into wider rows -> (n, columns), float32.
ggml_tensor* gated(ggml_context* context, const Backend& backend, Activation kind, ggml_tensor* gate,
                   ggml_tensor* up);

struct AttentionShape {
    int64_t head_dim;
    int64_t heads;
    int64_t kv_heads;  // divides heads: query head h reads key head h / (heads / kv_heads)
    float scale;       // of query-key products
    float softcap;     // then softcap * tanh(product / softcap); 0: none
    bool causal;       // without `visible` the last query sees all keys and each one before it one key less
};

// Softmax attention. query (head_dim, heads, n, batch) float32, of which the heads of a column lie one behind
// the other and columns evenly apart; keys and values (head_dim, kv_heads, m, batch), float32 or float16,
// strided as they may be but for rows of head_dim -> (head_dim * heads, n * batch) float32, with our kernels
// in the memory of `query`. `visible` says which keys every query sees, null for all: with our kernels int32,
// the first and one past the last, (2) of all queries or (2, n) of each; composed, a float32 mask (m, n) of 0
// and minus infinity. Queries with a range each get the bits that each would get alone. `shape` must outlive
// the graph.
ggml_tensor* attention(ggml_context* context, const Backend& backend, ggml_tensor* query, ggml_tensor* keys,
                       ggml_tensor* values, ggml_tensor* visible, const AttentionShape& shape);

}  // namespace hyt::ops
