// Activation kernels without a table: exact to float32, at the speed of memory.
#include <algorithm>

#include "activation.h"
#include "hyt/backend.h"
#include "hyt/ops.h"
#include "ops.h"
#include "simd.h"

namespace hyt::ops {
namespace {

float* row(ggml_tensor* t, int64_t index) {
    return reinterpret_cast<float*>(static_cast<char*>(t->data) + static_cast<size_t>(index) * t->nb[1]);
}

// Calls body(row, first, last) for this thread's share: whole rows, or vectors of a single row.
template <typename Body>
void for_share(const ggml_tensor* out, int thread, int threads, const Body& body) {
    const int64_t n = out->ne[0], rows = out->ne[1];
    if (rows > 1) {
        for (int64_t i = rows * thread / threads; i < rows * (thread + 1) / threads; ++i) body(i, 0, n);
        return;
    }
    const int64_t vectors = simd::round_up(n) / simd::kLanes;
    const int64_t first = vectors * thread / threads, last = vectors * (thread + 1) / threads;
    body(0, first * simd::kLanes, std::min(n, last * simd::kLanes));
}

// y[i] = combine(a[i], b[i]) a vector at a time; what is left over goes through vectors of its own.
template <typename Combine>
void zip(const float* a, const float* b, float* y, int64_t first, int64_t last, const Combine& combine) {
    int64_t i = first;
    for (; i + simd::kLanes <= last; i += simd::kLanes)
        simd::store(y + i, combine(simd::load(a + i), simd::load(b + i)));
    if (i == last) return;
    float rest[3][simd::kLanes] = {};
    std::copy(a + i, a + last, rest[0]);
    std::copy(b + i, b + last, rest[1]);
    simd::store(rest[2], combine(simd::load(rest[0]), simd::load(rest[1])));
    std::copy(rest[2], rest[2] + (last - i), y + i);
}

template <ActivationFunction function>
void compute_sum(ggml_tensor* out, int thread, int threads, void*) {
    const auto* bias = static_cast<const float*>(out->src[1]->data);
    for_share(out, thread, threads, [&](int64_t i, int64_t first, int64_t last) {
        zip(row(out->src[0], i), bias, row(out, i), first, last,
            [](simd::Vector x, simd::Vector b) { return function(x + b); });
    });
}

template <ActivationFunction function>
void compute_gated(ggml_tensor* out, int thread, int threads, void*) {
    for_share(out, thread, threads, [&](int64_t i, int64_t first, int64_t last) {
        zip(row(out->src[0], i), row(out->src[1], i), row(out, i), first, last,
            [](simd::Vector gate, simd::Vector up) { return function(gate) * up; });
    });
}

ggml_custom_op_t sum_kernel(Activation kind) {
    return with_activation(
        kind, [](auto function) -> ggml_custom_op_t { return compute_sum<decltype(function)::value>; });
}

ggml_custom_op_t gated_kernel(Activation kind) {
    return with_activation(
        kind, [](auto function) -> ggml_custom_op_t { return compute_gated<decltype(function)::value>; });
}

// ggml's own.
ggml_tensor* composed(ggml_context* c, Activation kind, ggml_tensor* x) {
    switch (kind) {
        case Activation::gelu_erf:
            return ggml_gelu_erf(c, x);
        case Activation::gelu_quick:
            return ggml_gelu_quick(c, x);
        case Activation::silu:
            return ggml_silu(c, x);
        case Activation::gelu_tanh:
            break;
    }
    return ggml_gelu(c, x);
}

}  // namespace

ggml_tensor* activated_sum(ggml_context* c, const Backend& backend, Activation kind, ggml_tensor* x,
                           ggml_tensor* bias) {
    if (backend.cuts().own_activations)
        return custom(c, "activation", GGML_TYPE_F32, x->ne[0], x->ne[1], {x, bias}, sum_kernel(kind),
                      nullptr);
    return composed(c, kind, ggml_add(c, x, bias));
}

ggml_tensor* gated(ggml_context* c, const Backend& backend, Activation kind, ggml_tensor* gate,
                   ggml_tensor* up) {
    if (backend.cuts().own_activations)
        return custom(c, "gate", GGML_TYPE_F32, up->ne[0], up->ne[1], {gate, up}, gated_kernel(kind),
                      nullptr);
    return ggml_mul(c, composed(c, kind, ggml_cont(c, gate)), up);
}

}  // namespace hyt::ops
