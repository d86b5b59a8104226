// The wide layer of a feed-forward, a piece of its rows at a time: made, activated and quantised while it is
// in the caches. As a whole it would be the largest thing in a session's memory.
#include <algorithm>

#include "activation.h"
#include "hyt/backend.h"
#include "hyt/product.h"
#include "ops.h"
#include "simd.h"
#include "strip_product.h"

namespace hyt::ops {
namespace {

using simd::kLanes;

constexpr int64_t kPieceRows = 256;  // of the matrix: sixteen strips, whose products stay in the second cache

// Values of each column that a piece makes.
constexpr int64_t piece_values(bool gated) {
    return gated ? kPieceRows / 2 : kPieceRows;
}

template <ActivationFunction function, bool gated>
void compute_activated(ggml_tensor* out, int thread, int threads, void* user) {
    const auto& kernels = *static_cast<const StripKernels*>(user);
    const ggml_tensor *matrix = out->src[0], *x = out->src[1], *bias = out->src[2];
    const int64_t all = gated ? matrix->ne[1] / 2 : matrix->ne[1], columns = out->ne[1];
    float* products = static_cast<float*>(out->src[3]->data) + thread * kPieceRows * columns;
    float values[piece_values(gated)];
    const auto multiply = [&](int64_t first, int64_t rows, float* to, int64_t stride) {
        StripProduct p = strip_product(kernels, matrix, first, rows, x, bias);
        p.out = to;
        p.stride = stride;
        kernels.multiply(p, 0, strip_count(rows));
    };
    const auto [begin, end] = share(all / kBlock, thread, threads);
    for (int64_t first = begin * kBlock; first < end * kBlock; first += piece_values(gated)) {
        const int64_t count = std::min(piece_values(gated), end * kBlock - first);
        const int64_t stride = gated ? 2 * count : count;
        multiply(first, count, products, stride);
        if (gated) multiply(all + first, count, products + count, stride);
        for (int64_t i = 0; i < columns; ++i) {
            const float* made = products + i * stride;
            for (int64_t k = 0; k < count; k += kLanes) {
                const simd::Vector v = function(simd::load(made + k));
                simd::store(values + k, gated ? v * simd::load(made + count + k) : v);
            }
            const TilePlace place = tile_of(i, columns, kernels.tile);
            uint8_t* tile = static_cast<uint8_t*>(out->data) + activations_size(all, place.first);
            kernels.quantize(values, count / kBlock, place.width, i - place.first,
                             tile + activations_size(first, place.width));
        }
    }
}

}  // namespace

ggml_tensor* activated_product(ggml_context* c, const Backend& backend, Activation kind, bool gated,
                               ggml_tensor* matrix, ggml_tensor* x, ggml_tensor* bias) {
    const auto kernel = with_activation(kind, [gated](auto function) -> ggml_custom_op_t {
        return gated ? compute_activated<decltype(function)::value, true>
                     : compute_activated<decltype(function)::value, false>;
    });
    ggml_tensor* products = scratch(c, kPieceRows * x->ne[1] * backend.threads());
    const int64_t values = gated ? matrix->ne[1] / 2 : matrix->ne[1];
    return custom(c, "activated product", GGML_TYPE_I8, static_cast<int64_t>(activations_size(values, 1)),
                  x->ne[1], {matrix, x, bias, products}, kernel, backend.strips());
}

}  // namespace hyt::ops
