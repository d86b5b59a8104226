// What graphs compose again and again.
#pragma once

#include <ggml.h>

#include "hyt/product.h"

namespace hyt {

// LayerNorm with weight and bias.
inline ggml_tensor* layer_norm(ggml_context* context, ggml_tensor* x, ggml_tensor* weight, ggml_tensor* bias,
                               float epsilon) {
    return ggml_add(context, ggml_mul(context, ggml_norm(context, x, epsilon), weight), bias);
}

inline ggml_tensor* linear(ggml_context* context, const Backend& backend, ggml_tensor* weight,
                           ggml_tensor* bias, ggml_tensor* x) {
    return ggml_add(context, ops::matmul(context, backend, weight, x), bias);
}

}  // namespace hyt
