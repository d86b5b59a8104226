// What both attention kernels share: how they see their operands, and softmax.
#pragma once

#include <ggml.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "hyt/ops.h"
#include "simd.h"

namespace hyt::ops {

constexpr int64_t kTileWidth = 2 * simd::kLanes;  // columns of a tile, and of a panel

inline int64_t pad(int64_t n) {
    return (n + kTileWidth - 1) / kTileWidth * kTileWidth;
}

inline char* row_of(const ggml_tensor* t, int64_t head, int64_t at, int64_t batch) {
    return static_cast<char*>(t->data) + static_cast<size_t>(head) * t->nb[1] +
           static_cast<size_t>(at) * t->nb[2] + static_cast<size_t>(batch) * t->nb[3];
}

// The operands of one call. What a query gives is written over it, once all that reads it is done.
struct Operands {
    const ggml_tensor *query, *keys, *values, *visible;
    const AttentionShape& shape;

    int64_t queries() const { return query->ne[2]; }
    int64_t group() const { return shape.heads / shape.kv_heads; }
    // The keys that a query sees; of a range for all, any query's.
    const int32_t* range(int64_t at) const {
        if (!visible) return nullptr;
        return static_cast<const int32_t*>(visible->data) + (visible->ne[1] > 1 ? 2 * at : 0);
    }
    int64_t first_key(int64_t at = 0) const { return visible ? range(at)[0] : 0; }
    int64_t last_key(int64_t at = 0) const { return visible ? range(at)[1] : keys->ne[2]; }
    // How many keys the query sees, from the first on; a given range holds for all queries alike.
    int64_t seen_by(int64_t at) const {
        const int64_t all = last_key() - first_key();
        return shape.causal && !visible ? all - queries() + at + 1 : all;
    }
    float* out_row(int64_t head, int64_t at, int64_t batch) const {
        return reinterpret_cast<float*>(row_of(query, head, at, batch));
    }
};

// Row of `head` at position `at` as float32; float16 is converted into `buffer` (head_dim).
inline const float* read_row(const ggml_tensor* t, int64_t head, int64_t at, int64_t batch, float* buffer) {
    const char* bytes = row_of(t, head, at, batch);
    if (t->type == GGML_TYPE_F32) return reinterpret_cast<const float*>(bytes);
    ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t*>(bytes), buffer, t->ne[0]);
    return buffer;
}

// Turns `count` products into exp(score - largest score), in memory padded to whole vectors; returns 1 /
// their sum.
inline float soften(float* scores, int64_t count, const AttentionShape& shape) {
    const int64_t padded = simd::round_up(count);
    const float uncap = shape.softcap > 0 ? 1 / shape.softcap : 0;
    std::fill(scores + count, scores + padded, scores[0]);
    simd::Vector top = simd::spread(-std::numeric_limits<float>::max());
    for (int64_t j = 0; j < padded; j += simd::kLanes) {
        simd::Vector s = simd::load(scores + j) * shape.scale;
        if (shape.softcap > 0) s = shape.softcap * simd::tangent(s * uncap);
        simd::store(scores + j, s);
        top = simd::maximum(top, s);
    }
    const float shift = simd::largest(top);
    for (int64_t j = 0; j < padded; j += simd::kLanes) {
        simd::store(scores + j, simd::exponential(simd::load(scores + j) - shift));
    }
    std::fill(scores + count, scores + padded, 0.0f);
    simd::Vector sums{};
    for (int64_t j = 0; j < padded; j += simd::kLanes) sums += simd::load(scores + j);
    return 1.0f / simd::sum(sums);
}

// One thread's part of the queries of which each has keys of its own, or of a single one
// (attention_apart.cpp). `scratch` has apart_scratch() floats for that many queries of all batches.
int64_t apart_scratch(int64_t queries, int64_t keys, const AttentionShape& shape, int threads);
void attend_apart(const Operands& o, float* scratch, int thread, int threads);

}  // namespace hyt::ops
