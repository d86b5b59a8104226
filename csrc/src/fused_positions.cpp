// Embeddings, rotations and the cache: what happens position by position.
#include <ggml-cpu.h>

#include <algorithm>
#include <cmath>

#include "hyt/fused.h"
#include "ops.h"

namespace hyt::fused {
namespace {

const Context& context_of(void* user) {
    return *static_cast<const Context*>(user);
}

void compute_embedded(ggml_tensor* out, int thread, int threads, void* user) {
    const ggml_tensor *table = out->src[0], *others = out->src[2];
    const int64_t n = out->ne[0];
    const float scale = context_of(user).params.embedding_scale;
    const auto* ids = static_cast<const int32_t*>(out->src[1]->data);
    const auto read = ggml_get_type_traits(table->type)->to_float;
    const auto [first, last] = share(out->ne[1], thread, threads);
    for (int64_t i = first; i < last; ++i) {
        const char* from = static_cast<const char*>(table->data) + static_cast<size_t>(ids[i]) * table->nb[1];
        float* to = column(out, i);
        if (table->type == GGML_TYPE_F32) {
            std::copy_n(reinterpret_cast<const float*>(from), n, to);
        } else {
            read(from, to, n);
        }
        if (scale != 1.0f) std::for_each(to, to + n, [scale](float& x) { x *= scale; });
    }
    if (!others) return;
    const auto* places = static_cast<const int64_t*>(out->src[3]->data);
    for (int64_t i = 0; i < others->ne[1]; ++i) {
        if (places[i] < first || places[i] >= last) continue;
        std::copy_n(column(others, i), n, column(out, places[i]));
    }
}

// RMSNorm of one head.
void norm_head(float* x, const float* weight, int64_t n, float epsilon) {
    float sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
    const float factor = 1.0f / std::sqrt(sum / static_cast<float>(n) + epsilon);
    for (int64_t i = 0; i < n; ++i) x[i] *= factor * weight[i];
}

// Rotates one head to a position.
void turn(const Context& context, float* x, int64_t position) {
    const int64_t half = context.params.head_dim / 2;
    const float* cosines = context.turns.data() + position * half;
    const float* sines = cosines + context.positions() * half;
    if (context.params.rotates_pairs) {
        for (int64_t i = 0; i < half; ++i) {
            const float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = a * cosines[i] - b * sines[i];
            x[2 * i + 1] = a * sines[i] + b * cosines[i];
        }
        return;
    }
    for (int64_t i = 0; i < half; ++i) {
        const float a = x[i], b = x[half + i];
        x[i] = a * cosines[i] - b * sines[i];
        x[half + i] = a * sines[i] + b * cosines[i];
    }
}

void store(const float* x, int64_t n, ggml_tensor* cache, int64_t row, int64_t at) {
    char* to = static_cast<char*>(cache->data) + static_cast<size_t>(row) * cache->nb[1];
    if (cache->type == GGML_TYPE_F32) {
        std::copy_n(x, n, reinterpret_cast<float*>(to) + at);
    } else {
        ggml_cpu_fp32_to_fp16(x, reinterpret_cast<ggml_fp16_t*>(to) + at, n);
    }
}

void compute_turned_stored(ggml_tensor* out, int thread, int threads, void* user) {
    const Context& context = context_of(user);
    const DecoderParams& params = context.params;
    const ggml_tensor* qkv = out->src[0];
    const auto* positions = static_cast<const int32_t*>(out->src[1]->data);
    const auto* cells = static_cast<const int64_t*>(out->src[2]->data);
    const auto* query_norm = out->src[5] ? static_cast<const float*>(out->src[5]->data) : nullptr;
    const auto* key_norm = out->src[6] ? static_cast<const float*>(out->src[6]->data) : nullptr;
    const int64_t dim = params.head_dim, heads = qkv->ne[0] / dim, queries = heads - 2 * params.kv_heads;
    const auto [first, last] = share(heads * qkv->ne[1], thread, threads);
    for (int64_t i = first; i < last; ++i) {
        const int64_t position = i / heads, head = i % heads, kv = (head - queries) % params.kv_heads;
        float* x = column(qkv, position) + head * dim;
        const bool value = head >= queries + params.kv_heads;
        const float* weight = value ? nullptr : head < queries ? query_norm : key_norm;
        if (weight) norm_head(x, weight, dim, params.rms_epsilon);
        if (!value) turn(context, x, positions[position]);
        if (head >= queries) store(x, dim, out->src[value ? 4 : 3], cells[position], kv * dim);
    }
}

}  // namespace

Context::Context(const StripKernels* set, const DecoderParams& p, int64_t positions)
    : kernels(set), params(p), turns(static_cast<size_t>(p.head_dim * positions)) {
    const int64_t half = p.head_dim / 2;
    for (int64_t i = 0; i < half; ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(p.head_dim);
        double frequency = std::pow(static_cast<double>(p.rope_base), exponent) * p.rope_scale;
        if (!p.rope_divisors.empty()) frequency /= p.rope_divisors[static_cast<size_t>(i)];
        for (int64_t at = 0; at < positions; ++at) {
            const double angle = static_cast<double>(at) * frequency;
            turns[static_cast<size_t>(at * half + i)] = static_cast<float>(std::cos(angle));
            turns[static_cast<size_t>((positions + at) * half + i)] = static_cast<float>(std::sin(angle));
        }
    }
}

ggml_tensor* embedded(ggml_context* c, const Context& context, ggml_tensor* table, ggml_tensor* ids,
                      ggml_tensor* others, ggml_tensor* places) {
    return custom(c, "embed", GGML_TYPE_F32, table->ne[0], ids->ne[0], {table, ids, others, places},
                  compute_embedded, &context);
}

ggml_tensor* turned_stored(ggml_context* c, const Context& context, ggml_tensor* qkv, ggml_tensor* positions,
                           ggml_tensor* cells, ggml_tensor* keys, ggml_tensor* values,
                           ggml_tensor* query_norm, ggml_tensor* key_norm) {
    return custom_inplace(c, "rotate and store", qkv, {positions, cells, keys, values, query_norm, key_norm},
                          compute_turned_stored, &context);
}

}  // namespace hyt::fused
