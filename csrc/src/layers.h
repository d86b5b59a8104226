// What graphs compose again and again.
#pragma once

#include <ggml.h>

#include "hyt/backend.h"
#include "hyt/columns.h"
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

}  // namespace hyt
