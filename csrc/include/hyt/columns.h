// What vision graphs do column by column; on a backend without our kernels composed from ggml's operators.
#pragma once

#include <ggml.h>

namespace hyt {

class Backend;

namespace ops {

// LayerNorm of x (n, columns) with weight and bias (n); `epsilon` outlives the graph.
ggml_tensor* layer_norm(ggml_context* c, const Backend& backend, ggml_tensor* x, ggml_tensor* weight,
                        ggml_tensor* bias, const float* epsilon);

// x + y, both (n, columns) float32; y of fewer columns begins again and again.
ggml_tensor* sum(ggml_context* c, const Backend& backend, ggml_tensor* x, ggml_tensor* y);

// x into the memory of `to`, of the same shape, float32.
ggml_tensor* copy(ggml_context* c, const Backend& backend, ggml_tensor* x, ggml_tensor* to);

}  // namespace ops
}  // namespace hyt
