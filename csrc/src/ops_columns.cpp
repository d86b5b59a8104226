// Norms, sums and a small float32 product: what a vision tower needs beside INT4 products and attention.
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

constexpr int64_t kTile = 4;  // rows and columns of a tile: sixteen sums

// Dot products of a tile's rows and columns; the last of each stand for those that a small tile does not
// have.
void multiply_tile(const float* const (&rows)[kTile], const float* const (&columns)[kTile], int64_t n,
                   float (&out)[kTile][kTile]) {
    Vector sums[kTile][kTile] = {};
    for (int64_t i = 0; i < whole(n); i += kLanes) {
        Vector left[kTile];
        for (int64_t r = 0; r < kTile; ++r) left[r] = simd::load(rows[r] + i);
        for (int64_t c = 0; c < kTile; ++c) {
            const Vector right = simd::load(columns[c] + i);
            for (int64_t r = 0; r < kTile; ++r) sums[c][r] += left[r] * right;
        }
    }
    for (int64_t c = 0; c < kTile; ++c) {
        for (int64_t r = 0; r < kTile; ++r) {
            out[c][r] = simd::sum(sums[c][r]);
            for (int64_t i = whole(n); i < n; ++i) out[c][r] += rows[r][i] * columns[c][i];
        }
    }
}

void compute_float_product(ggml_tensor* out, int thread, int threads, void*) {
    const ggml_tensor *matrix = out->src[0], *x = out->src[1], *bias = out->src[2];
    const int64_t all_rows = out->ne[0], all_columns = out->ne[1];
    const auto [first, last] = share((all_rows + kTile - 1) / kTile, thread, threads);
    for (int64_t row = first * kTile; row < std::min(all_rows, last * kTile); row += kTile) {
        const float* rows[kTile];
        for (int64_t r = 0; r < kTile; ++r) rows[r] = column(matrix, std::min(row + r, all_rows - 1));
        for (int64_t at = 0; at < all_columns; at += kTile) {
            const float* columns[kTile];
            for (int64_t c = 0; c < kTile; ++c) columns[c] = column(x, std::min(at + c, all_columns - 1));
            float tile[kTile][kTile];
            multiply_tile(rows, columns, matrix->ne[0], tile);
            for (int64_t c = 0; c < std::min(kTile, all_columns - at); ++c) {
                for (int64_t r = 0; r < std::min(kTile, all_rows - row); ++r)
                    column(out, at + c)[row + r] = tile[c][r] + (bias ? values_of(bias)[row + r] : 0.0f);
            }
        }
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

ggml_tensor* float_product(ggml_context* c, const Backend& backend, ggml_tensor* matrix, ggml_tensor* x,
                           ggml_tensor* bias) {
    if (backend.cuts().own_norms) {
        return custom(c, "float product", GGML_TYPE_F32, matrix->ne[1], x->ne[1], {matrix, x, bias},
                      compute_float_product, nullptr);
    }
    ggml_tensor* out = ggml_mul_mat(c, matrix, x);
    return bias ? ggml_add(c, out, bias) : out;
}

ggml_tensor* copy(ggml_context* c, const Backend& backend, ggml_tensor* x, ggml_tensor* to) {
    if (backend.cuts().own_norms) return custom_inplace(c, "copy", to, {x}, compute_copy, nullptr);
    return ggml_cpy(c, x, to);
}

}  // namespace hyt::ops
