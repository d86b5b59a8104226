// Norms, residuals, gates and quantisation: what happens column by column between two products.
#include <algorithm>
#include <cmath>

#include "activation.h"
#include "hyt/fused.h"
#include "ops.h"
#include "simd.h"

namespace hyt::fused {
namespace {

using simd::kLanes;
using simd::Vector;

constexpr int64_t kPiece =
    8 * kBlock;  // values that are made, then quantised, while they are in the first cache

const Context& context_of(void* user) {
    return *static_cast<const Context*>(user);
}

int64_t values_of(const ggml_tensor* quantised) {
    return quantised->ne[0] / (kBlock + 8) * kBlock;
}

// Makes values [first, first + count) of a column by make(first, count, to) piece by piece and quantises
// them.
template <typename Make>
void quantise_column(const StripKernels& kernels, ggml_tensor* out, int64_t index, const Make& make) {
    const int64_t values = values_of(out);
    const TilePlace place = tile_of(index, out->ne[1], kernels.tile);
    uint8_t* to = static_cast<uint8_t*>(out->data) + activations_size(values, place.first);
    float piece[kPiece];
    for (int64_t first = 0; first < values; first += kPiece) {
        const int64_t count = std::min(kPiece, values - first);
        make(first, count, piece);
        kernels.quantize(piece, count / kBlock, place.width, index - place.first, to);
        to += activations_size(count, place.width);
    }
}

// 1 / root mean square of x; n is a multiple of 32.
float inverse_size(const float* x, int64_t n, float epsilon) {
    Vector sums[2] = {};
    for (int64_t i = 0; i < n; i += 2 * kLanes) {
        const Vector a = simd::load(x + i), b = simd::load(x + i + kLanes);
        sums[0] += a * a;
        sums[1] += b * b;
    }
    const float mean = simd::sum(sums[0] + sums[1]) / static_cast<float>(n);
    return 1.0f / std::sqrt(mean + epsilon);
}

// to = x * factor * weight
void scaled(const float* x, const float* weight, float factor, int64_t n, float* to) {
    for (int64_t i = 0; i < n; i += kLanes)
        simd::store(to + i, simd::load(x + i) * factor * simd::load(weight + i));
}

void norm_column(const Context& context, ggml_tensor* out, int64_t index, const float* x,
                 const float* weight) {
    const float factor = inverse_size(x, context.params.hidden, context.params.rms_epsilon);
    if (out->type == GGML_TYPE_F32)
        return scaled(x, weight, factor, context.params.hidden, column(out, index));
    quantise_column(*context.kernels, out, index, [&](int64_t first, int64_t count, float* to) {
        scaled(x + first, weight + first, factor, count, to);
    });
}

void compute_normed(ggml_tensor* out, int thread, int threads, void* user) {
    const auto [first, last] = share(out->ne[1], thread, threads);
    const auto* weight = static_cast<const float*>(out->src[1]->data);
    for (int64_t i = first; i < last; ++i)
        norm_column(context_of(user), out, i, column(out->src[0], i), weight);
}

void compute_added_normed(ggml_tensor* out, int thread, int threads, void* user) {
    const Context& context = context_of(user);
    const int64_t n = context.params.hidden;
    const auto* weight = static_cast<const float*>(out->src[2]->data);
    const auto* post = out->src[3] ? static_cast<const float*>(out->src[3]->data) : nullptr;
    const auto [first, last] = share(out->ne[1], thread, threads);
    for (int64_t i = first; i < last; ++i) {
        float* x = column(out->src[0], i);
        const float* h = column(out->src[1], i);
        if (post) {
            const float factor = inverse_size(h, n, context.params.rms_epsilon);
            for (int64_t k = 0; k < n; k += kLanes) {
                const Vector normed = simd::load(h + k) * factor * simd::load(post + k);
                simd::store(x + k, normed + simd::load(x + k));
            }
        } else {
            for (int64_t k = 0; k < n; k += kLanes) simd::store(x + k, simd::load(h + k) + simd::load(x + k));
        }
        norm_column(context, out, i, x, weight);
    }
}

template <ActivationFunction function>
void compute_gated(ggml_tensor* out, int thread, int threads, void* user) {
    const int64_t wide = values_of(out), columns = out->ne[1];
    const StripKernels& kernels = *context_of(user).kernels;
    const auto make = [&](int64_t i) {
        const float *gate = column(out->src[0], i), *up = gate + wide;
        return [gate, up](int64_t first, int64_t count, float* to) {
            for (int64_t k = 0; k < count; k += kLanes) {
                simd::store(to + k, function(simd::load(gate + first + k)) * simd::load(up + first + k));
            }
        };
    };
    if (columns > 1) {
        const auto [first, last] = share(columns, thread, threads);
        for (int64_t i = first; i < last; ++i) quantise_column(kernels, out, i, make(i));
        return;
    }
    // A single column is shared by pieces.
    const auto [first, last] = share((wide + kPiece - 1) / kPiece, thread, threads);
    float piece[kPiece];
    for (int64_t i = first * kPiece; i < std::min(wide, last * kPiece); i += kPiece) {
        const int64_t count = std::min(kPiece, wide - i);
        make(0)(i, count, piece);
        kernels.quantize(piece, count / kBlock, 1, 0,
                         static_cast<uint8_t*>(out->data) + activations_size(i, 1));
    }
}

ggml_custom_op_t gated_kernel(Activation kind) {
    return with_activation(
        kind, [](auto function) -> ggml_custom_op_t { return compute_gated<decltype(function)::value>; });
}

int64_t quantised_bytes(int64_t values) {
    return static_cast<int64_t>(activations_size(values, 1));
}

}  // namespace

ggml_tensor* normed(ggml_context* c, const Context& context, ggml_tensor* x, ggml_tensor* weight) {
    return custom(c, "norm", GGML_TYPE_I8, quantised_bytes(x->ne[0]), x->ne[1], {x, weight}, compute_normed,
                  &context);
}

ggml_tensor* added_normed(ggml_context* c, const Context& context, ggml_tensor* x, ggml_tensor* h,
                          ggml_tensor* post, ggml_tensor* weight, bool plain) {
    const ggml_type type = plain ? GGML_TYPE_F32 : GGML_TYPE_I8;
    return custom(c, "add and norm", type, plain ? x->ne[0] : quantised_bytes(x->ne[0]), x->ne[1],
                  {x, h, weight, post}, compute_added_normed, &context);
}

ggml_tensor* gated(ggml_context* c, const Context& context, ggml_tensor* x) {
    return custom(c, "gate", GGML_TYPE_I8, quantised_bytes(x->ne[0] / 2), x->ne[1], {x},
                  gated_kernel(context.params.activation), &context);
}

}  // namespace hyt::fused
