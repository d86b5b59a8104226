// Products with matrices in strips, and of a few columns with matrices in plain layout.
#include "hyt/product.h"

#include <ggml-cpu.h>

#include <algorithm>

#include "hyt/backend.h"
#include "hyt/exact_product.h"
#include "hyt/weights.h"
#include "ops.h"
#include "strip_product.h"

namespace hyt::ops {
namespace {

void compute_quantised(ggml_tensor* out, int thread, int threads, void* user) {
    const auto& kernels = *static_cast<const StripKernels*>(user);
    const ggml_tensor* x = out->src[0];
    const int64_t values = x->ne[0];
    const auto [first, last] = share(out->ne[1], thread, threads);
    for (int64_t i = first; i < last; ++i) {
        const TilePlace place = tile_of(i, out->ne[1], kernels.tile);
        uint8_t* tile = static_cast<uint8_t*>(out->data) + activations_size(values, place.first);
        kernels.quantize(column(x, i), values / kBlock, place.width, i - place.first, tile);
    }
}

void compute_product(ggml_tensor* out, int thread, int threads, void* user) {
    const auto& kernels = *static_cast<const StripKernels*>(user);
    StripProduct p = strip_product(kernels, out->src[0], 0, out->ne[0], out->src[1], out->src[2]);
    p.out = static_cast<float*>(out->data);
    p.stride = out->ne[0];
    const auto [first, last] = share(strip_count(p.rows), thread, threads);
    kernels.multiply(p, first, last);
}

// The columns in the type that the matrix' rows are multiplied with.
void compute_converted(ggml_tensor* out, int thread, int threads, void*) {
    const ggml_tensor* x = out->src[0];
    const ggml_type type = ggml_get_type_traits_cpu(out->src[1]->type)->vec_dot_type;
    const auto [first, last] = share(out->ne[1], thread, threads);
    for (int64_t i = first; i < last; ++i) {
        const float* values = column(x, i);
        char* to = static_cast<char*>(out->data) + static_cast<size_t>(i) * out->nb[1];
        if (type == GGML_TYPE_F32) {
            std::copy_n(values, x->ne[0], reinterpret_cast<float*>(to));
        } else {
            ggml_get_type_traits_cpu(type)->from_float(values, to, x->ne[0]);
        }
    }
}

void compute_plain(ggml_tensor* out, int thread, int threads, void*) {
    const ggml_tensor *matrix = out->src[0], *x = out->src[1];
    const auto dot = ggml_get_type_traits_cpu(matrix->type)->vec_dot;
    const auto* rows = static_cast<const char*>(matrix->data);
    const auto* columns = static_cast<const char*>(x->data);
    const auto [first, last] = share(out->ne[0], thread, threads);
    for (int64_t row = first; row < last; ++row) {
        const char* at = rows + static_cast<size_t>(row) * matrix->nb[1];
        for (int64_t i = 0; i < out->ne[1]; ++i) {
            const char* values = columns + static_cast<size_t>(i) * x->nb[1];
            dot(static_cast<int>(matrix->ne[0]), column(out, i) + row, 0, at, 0, values, 0, 1);
        }
    }
}

void compute_picked(ggml_tensor* out, int thread, int threads, void* user) {
    const auto& ids = *static_cast<const std::vector<int32_t>*>(user);
    const auto [first, last] = share(out->ne[1], thread, threads);
    for (int64_t i = first; i < last; ++i) {
        const float* from = column(out->src[0], i);
        float* to = column(out, i);
        for (const int32_t id : ids) *to++ = from[id];
    }
}

}  // namespace

ggml_tensor* matmul(ggml_context* c, const Backend& backend, ggml_tensor* matrix, ggml_tensor* x) {
    if (backend.activations() == Activations::float32 && matrix->type != GGML_TYPE_F32)
        return exact_product(c, matrix, x);
    // ggml's repacked products take four columns for one piece of memory.
    if (!in_strips(matrix)) return ggml_mul_mat(c, matrix, ggml_is_contiguous(x) ? x : ggml_cont(c, x));
    return product(c, *backend.strips(), matrix, quantised(c, *backend.strips(), x));
}

ggml_tensor* quantised(ggml_context* c, const StripKernels& kernels, ggml_tensor* x) {
    const auto bytes = static_cast<int64_t>(activations_size(x->ne[0], 1));
    return custom(c, "quantise", GGML_TYPE_I8, bytes, x->ne[1], {x}, compute_quantised, &kernels);
}

ggml_tensor* product(ggml_context* c, const StripKernels& kernels, ggml_tensor* matrix, ggml_tensor* x,
                     ggml_tensor* bias) {
    return custom(c, "product", GGML_TYPE_F32, matrix->ne[1], x->ne[1], {matrix, x, bias}, compute_product,
                  &kernels);
}

ggml_tensor* plain_product(ggml_context* c, ggml_tensor* matrix, ggml_tensor* x) {
    const ggml_type type = ggml_get_type_traits_cpu(matrix->type)->vec_dot_type;
    const auto bytes = static_cast<int64_t>(ggml_row_size(type, x->ne[0]));
    ggml_tensor* converted =
        custom(c, "quantise", GGML_TYPE_I8, bytes, x->ne[1], {x, matrix}, compute_converted, nullptr);
    return custom(c, "head", GGML_TYPE_F32, matrix->ne[1], x->ne[1], {matrix, converted}, compute_plain,
                  nullptr);
}

ggml_tensor* picked(ggml_context* c, ggml_tensor* x, const std::vector<int32_t>& ids) {
    return custom(c, "pick", GGML_TYPE_F32, static_cast<int64_t>(ids.size()), x->ne[1], {x}, compute_picked,
                  &ids);
}

}  // namespace hyt::ops
