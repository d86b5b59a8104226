// Products with weight matrices, wherever these lie.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <vector>

#include "hyt/hparams.h"
#include "hyt/strips.h"

namespace hyt {

class Backend;

namespace ops {

// matrix (columns, rows) times x (columns, n), float32 -> (rows, n) float32.
ggml_tensor* matmul(ggml_context* c, const Backend& backend, ggml_tensor* matrix, ggml_tensor* x);

// The two halves of it for a matrix in strips: x (columns, n) float32 to bytes (activations of a column, n),
// laid out in tiles as strips.h says; and the product with those, plus `bias` (rows) where there is one.
ggml_tensor* quantised(ggml_context* c, const StripKernels& kernels, ggml_tensor* x);
ggml_tensor* product(ggml_context* c, const StripKernels& kernels, ggml_tensor* matrix, ggml_tensor* x,
                     ggml_tensor* bias = nullptr);

// activation(product + bias), quantised for the next product: matrix (columns, rows) in strips, x quantised
// -> (rows, n). `gated`: activation(first half of the rows) * second half, and half as many. Of many columns;
// a product of a few reads its weights better in one go.
ggml_tensor* activated_product(ggml_context* c, const Backend& backend, Activation kind, bool gated,
                               ggml_tensor* matrix, ggml_tensor* x, ggml_tensor* bias);

// matrix (columns, rows) of any weight type, in plain layout, times x (columns, n) float32 -> (rows, n); a
// column's products do not depend on the others.
ggml_tensor* plain_product(ggml_context* c, ggml_tensor* matrix, ggml_tensor* x);

// Rows `ids` of x (rows, n) float32 -> (ids, n); `ids` outlives the graph.
ggml_tensor* picked(ggml_context* c, ggml_tensor* x, const std::vector<int32_t>& ids);

}  // namespace ops
}  // namespace hyt
