// Products whose activations stay float32, whatever the type of the weights.
#pragma once

#include <ggml.h>

namespace hyt::ops {

// matrix (columns, rows) of any weight type, in plain layout, times x (columns, n) float32 -> (rows, n):
// float32 sums of the weights that the blocks stand for. A column's products depend neither on the others nor
// on the number of threads.
ggml_tensor* exact_product(ggml_context* c, ggml_tensor* matrix, ggml_tensor* x);

// Whether the node is one of those.
bool is_exact_product(const ggml_tensor* node);

}  // namespace hyt::ops
