// What graphs compose again and again.
#pragma once

#include <ggml.h>

#include "hyt/backend.h"
#include "hyt/columns.h"
#include "hyt/ops.h"
#include "hyt/product.h"
#include "hyt/weights.h"

namespace hyt {

// matrix times x plus bias.
inline ggml_tensor* linear(ggml_context* context, const Backend& backend, ggml_tensor* weight,
                           ggml_tensor* bias, ggml_tensor* x) {
    if (!in_strips(weight)) return ops::sum(context, backend, ops::matmul(context, backend, weight, x), bias);
    const StripKernels& kernels = *backend.strips();
    return ops::product(context, kernels, weight, ops::quantised(context, kernels, x), bias);
}

// second times activation(first times x plus its bias) plus its bias: the two layers of a feed-forward.
inline ggml_tensor* two_layers(ggml_context* context, const Backend& backend, Activation kind,
                               ggml_tensor* first, ggml_tensor* first_bias, ggml_tensor* second,
                               ggml_tensor* second_bias, ggml_tensor* x) {
    if (backend.cuts().piecewise && backend.cuts().own_activations && in_strips(first) && in_strips(second)) {
        const StripKernels& kernels = *backend.strips();
        ggml_tensor* h = ops::activated_product(context, backend, kind, false, first,
                                                ops::quantised(context, kernels, x), first_bias);
        return ops::product(context, kernels, second, h, second_bias);
    }
    ggml_tensor* h =
        ops::activated_sum(context, backend, kind, ops::matmul(context, backend, first, x), first_bias);
    return linear(context, backend, second, second_bias, h);
}

}  // namespace hyt
