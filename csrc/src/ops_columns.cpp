// Norms, sums and copies: what a vision tower needs beside products and attention.
#include <algorithm>
#include <cmath>

#include "hyt/backend.h"
#include "hyt/columns.h"
#include "ops.h"
#include "simd.h"

namespace hyt::ops {
namespace {

using simd::kLanes;
using simd::Vector;

// Whole vectors of n values; what is left over is done one by one.
int64_t whole(int64_t n) {
    return n / kLanes * kLanes;
}

const float* values_of(const ggml_tensor* t) {
    return static_cast<const float*>(t->data);
}

// Sum of f(x[i]), f on vectors and on single values alike.
template <typename Function>
float total(const float* x, int64_t n, const Function& f) {
    Vector sums{};
    for (int64_t i = 0; i < whole(n); i += kLanes) sums += f(simd::load(x + i));
    float sum = simd::sum(sums);
    for (int64_t i = whole(n); i < n; ++i) sum += f(x[i]);
    return sum;
}

void compute_layer_norm(ggml_tensor* out, int thread, int threads, void* user) {
    const float *weight = values_of(out->src[1]), *bias = values_of(out->src[2]);
    const int64_t n = out->ne[0];
    const auto [first, last] = share(out->ne[1], thread, threads);
    for (int64_t c = first; c < last; ++c) {
        const float* x = column(out->src[0], c);
        float* y = column(out, c);
        const float mean = total(x, n, [](auto v) { return v; }) / static_cast<float>(n);
        const float squares = total(x, n, [mean](auto v) { return (v - mean) * (v - mean); });
        const float factor =
            1.0f / std::sqrt(squares / static_cast<float>(n) + *static_cast<const float*>(user));
        int64_t i = 0;
        for (; i < whole(n); i += kLanes)
            simd::store(y + i,
                        (simd::load(x + i) - mean) * factor * simd::load(weight + i) + simd::load(bias + i));
        for (; i < n; ++i) y[i] = (x[i] - mean) * factor * weight[i] + bias[i];
    }
}

void compute_sum(ggml_tensor* out, int thread, int threads, void*) {
    const int64_t n = out->ne[0];
    const auto [first, last] = share(out->ne[1], thread, threads);
    for (int64_t c = first; c < last; ++c) {
        const float *x = column(out->src[0], c), *y = column(out->src[1], c % out->src[1]->ne[1]);
        float* to = column(out, c);
        int64_t i = 0;
        for (; i < whole(n); i += kLanes) simd::store(to + i, simd::load(x + i) + simd::load(y + i));
        for (; i < n; ++i) to[i] = x[i] + y[i];
    }
}

void compute_copy(ggml_tensor* out, int thread, int threads, void*) {
    const auto [first, last] = share(out->ne[1], thread, threads);
    for (int64_t c = first; c < last; ++c) std::copy_n(column(out->src[1], c), out->ne[0], column(out, c));
}

}  // namespace

ggml_tensor* layer_norm(ggml_context* c, const Backend& backend, ggml_tensor* x, ggml_tensor* weight,
                        ggml_tensor* bias, const float* epsilon) {
    if (!backend.cuts().own_norms) return ggml_add(c, ggml_mul(c, ggml_norm(c, x, *epsilon), weight), bias);
    return custom(c, "norm", GGML_TYPE_F32, x->ne[0], x->ne[1], {x, weight, bias}, compute_layer_norm,
                  epsilon);
}

ggml_tensor* sum(ggml_context* c, const Backend& backend, ggml_tensor* x, ggml_tensor* y) {
    if (backend.cuts().own_norms)
        return custom(c, "add", GGML_TYPE_F32, x->ne[0], x->ne[1], {x, y}, compute_sum, nullptr);
    if (x->ne[1] == y->ne[1]) return ggml_add(c, x, y);
    const int64_t times = x->ne[1] / y->ne[1];
    ggml_tensor* parts = ggml_add(c, ggml_reshape_3d(c, x, x->ne[0], y->ne[1], times), y);
    return ggml_reshape_2d(c, parts, x->ne[0], x->ne[1]);
}

ggml_tensor* copy(ggml_context* c, const Backend& backend, ggml_tensor* x, ggml_tensor* to) {
    if (backend.cuts().own_norms) return custom_inplace(c, "copy", to, {x}, compute_copy, nullptr);
    return ggml_cpy(c, x, to);
}

}  // namespace hyt::ops
