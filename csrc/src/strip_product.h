// What a product with a matrix in strips is told, from the tensors that it is made of.
#pragma once

#include <ggml.h>

#include "hyt/strips.h"

namespace hyt {

// Rows [first, first + rows) of `matrix` times the quantised columns of x; `first` is a multiple of 16. Where
// the result goes is the caller's to say.
inline StripProduct strip_product(const StripKernels& kernels, const ggml_tensor* matrix, int64_t first,
                                  int64_t rows, const ggml_tensor* x, const ggml_tensor* bias) {
    StripProduct p{};
    p.weights = static_cast<const uint8_t*>(matrix->data) + strips_size(matrix->ne[0], first);
    p.activations = static_cast<const uint8_t*>(x->data);
    p.bias = bias ? static_cast<const float*>(bias->data) + first : nullptr;
    p.blocks = matrix->ne[0] / kBlock;
    p.rows = rows;
    p.columns = x->ne[1];
    p.read_ahead = kernels.read_ahead;
    p.one_pass = kernels.one_pass;
    return p;
}

}  // namespace hyt
