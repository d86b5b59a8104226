// Attention: a CPU kernel for many queries (tiles of two matrix products), the choice between it and the one
// for queries on their own, and the composition from ggml's operators for backends that run neither.
#include <algorithm>
#include <array>

#include "attention.h"
#include "hyt/backend.h"
#include "hyt/ops.h"
#include "ops.h"
#include "simd.h"

namespace hyt::ops {
namespace {

using simd::kLanes;
using simd::Vector;

// Rows of a tile: as many as leave the sums of two vectors each in registers.
constexpr size_t kQueries = simd::kManyRegisters ? 8 : 6;

// A thread's own memory, of the kernel for many queries.
struct Scratch {
    int64_t keys, values, scores, outputs, row;  // floats of each part
    int64_t size() const { return keys + values + scores + outputs + row; }
};

Scratch scratch_for(int64_t head_dim, int64_t keys) {
    const auto rows = static_cast<int64_t>(kQueries);
    return {head_dim * pad(keys), pad(keys) * pad(head_dim), rows * pad(keys), rows * pad(head_dim),
            head_dim};
}

// Where element (row, column) of a matrix in panels lies: kTileWidth columns of all its rows, then the next.
int64_t panel_place(int64_t row, int64_t column, int64_t rows) {
    return (column / kTileWidth * rows + row) * kTileWidth + column % kTileWidth;
}

// c[q][j] = sum over k < depth of a[q][k] * b[k][j], j < width, which is a multiple of kTileWidth. b has
// `rows` rows in panels, which are read in the order in which they lie; rows of c are `stride` apart.
void multiply(const std::array<const float*, kQueries>& a, int64_t depth, const float* b, int64_t rows,
              int64_t width, int64_t stride, float* c) {
    for (int64_t j = 0; j < width; j += kTileWidth) {
        Vector sums[kQueries][2] = {};
        const float* panel = b + panel_place(0, j, rows);
        for (int64_t k = 0; k < depth; ++k) {
            const float* at = panel + k * kTileWidth;
            const Vector left = simd::load(at), right = simd::load(at + kLanes);
            for (size_t q = 0; q < kQueries; ++q) {
                sums[q][0] += a[q][k] * left;
                sums[q][1] += a[q][k] * right;
            }
        }
        for (size_t q = 0; q < kQueries; ++q) {
            float* to = c + static_cast<int64_t>(q) * stride + j;
            simd::store(to, sums[q][0]);
            simd::store(to + kLanes, sums[q][1]);
        }
    }
}

// Query rows [first, last) of the heads that read one key head; a row is (query, head of the group).
void attend_many(const Operands& o, float* scratch, int64_t kv_head, int64_t batch, int64_t first,
                 int64_t last) {
    const int64_t from = o.first_key(), keys = o.last_key() - from;
    const int64_t n = o.shape.head_dim, width = pad(keys), depth = pad(n);
    const Scratch parts = scratch_for(n, o.keys->ne[2]);
    float* transposed = scratch;
    float* values = transposed + parts.keys;
    float* scores = values + parts.values;
    float* outputs = scores + parts.scores;
    float* buffer = outputs + parts.outputs;
    std::fill(transposed, scores, 0.0f);
    for (int64_t j = 0; j < keys; ++j) {
        const float* key = read_row(o.keys, kv_head, from + j, batch, buffer);
        for (int64_t d = 0; d < n; ++d) transposed[panel_place(d, j, n)] = key[d];
        const float* value = read_row(o.values, kv_head, from + j, batch, buffer);
        for (int64_t d = 0; d < n; d += kTileWidth)
            std::copy(value + d, value + std::min(d + kTileWidth, n), values + panel_place(j, d, width));
    }
    const auto head_of = [&](int64_t row) { return kv_head * o.group() + row % o.group(); };
    for (int64_t row = first; row < last; row += static_cast<int64_t>(kQueries)) {
        std::array<const float*, kQueries> left;
        // The tile's last query sees the most.
        const int64_t most =
            o.seen_by((std::min(row + static_cast<int64_t>(kQueries), last) - 1) / o.group());
        for (size_t q = 0; q < kQueries; ++q) {
            // The last tile repeats its last row.
            const int64_t r = std::min(row + static_cast<int64_t>(q), last - 1);
            left[q] = read_row(o.query, head_of(r), r / o.group(), batch, nullptr);
        }
        multiply(left, n, transposed, n, pad(most), width, scores);
        float norms[kQueries];
        for (size_t q = 0; q < kQueries; ++q) {
            float* own = scores + static_cast<int64_t>(q) * width;
            const int64_t r = std::min(row + static_cast<int64_t>(q), last - 1);
            const int64_t seen = o.seen_by(r / o.group());
            norms[q] = soften(own, seen, o.shape);
            std::fill(own + seen, own + most, 0.0f);
            left[q] = own;
        }
        multiply(left, most, values, width, depth, depth, outputs);
        for (size_t q = 0; q < kQueries && row + static_cast<int64_t>(q) < last; ++q) {
            const int64_t r = row + static_cast<int64_t>(q);
            float* out = o.out_row(head_of(r), r / o.group(), batch);
            const float* sums = outputs + static_cast<int64_t>(q) * depth;
            for (int64_t d = 0; d < n; ++d) out[d] = sums[d] * norms[q];
        }
    }
}

// Whether queries are computed one by one: a single one, and those that each have a range of keys.
bool attends_apart(const ggml_tensor* query, const ggml_tensor* visible) {
    return query->ne[2] == 1 || (visible && visible->ne[1] > 1);
}

// Floats of scratch that each thread has, whatever the number of queries up to these.
int64_t scratch_size(const ggml_tensor* query, const ggml_tensor* keys, const ggml_tensor* visible,
                     const AttentionShape& shape, int threads) {
    const bool apart = attends_apart(query, visible);
    const int64_t alone =
        apart_scratch((apart ? query->ne[2] : 1) * query->ne[3], keys->ne[2], shape, threads);
    return apart ? alone : std::max(alone, scratch_for(shape.head_dim, keys->ne[2]).size());
}

void compute_attention(ggml_tensor* result, int thread, int threads, void* user) {
    const auto& shape = *static_cast<const AttentionShape*>(user);
    const ggml_tensor *query = result->src[0], *keys = result->src[1], *visible = result->src[3];
    const Operands o{query, keys, result->src[2], visible, shape};
    float* scratch = static_cast<float*>(result->src[4]->data) +
                     thread * scratch_size(query, keys, visible, shape, threads);
    if (attends_apart(query, visible)) return attend_apart(o, scratch, thread, threads);
    // Enough pieces that every thread has work; each piece transposes its keys anew, so no more than that.
    const int64_t pieces = shape.kv_heads * query->ne[3], rows = o.queries() * o.group();
    const int64_t chunks = (threads + pieces - 1) / pieces;
    for (int64_t i = thread; i < pieces * chunks; i += threads) {
        const int64_t piece = i / chunks, chunk = i % chunks;
        attend_many(o, scratch, piece % shape.kv_heads, piece / shape.kv_heads, rows * chunk / chunks,
                    rows * (chunk + 1) / chunks);
    }
}

ggml_tensor* composed(ggml_context* c, ggml_tensor* query, ggml_tensor* keys, ggml_tensor* values,
                      ggml_tensor* mask, const AttentionShape& shape) {
    ggml_tensor* q = ggml_permute(c, query, 0, 2, 1, 3);                 // (head_dim, n, heads, batch)
    ggml_tensor* k = ggml_permute(c, keys, 0, 2, 1, 3);                  // (head_dim, m, kv_heads, batch)
    ggml_tensor* v = ggml_cont(c, ggml_permute(c, values, 1, 2, 0, 3));  // (m, head_dim, kv_heads, batch)
    ggml_tensor* scores = ggml_mul_mat(c, k, q);                         // (m, n, heads, batch)
    // A device may sum in float16 otherwise, which large keys overflow.
    ggml_prec_set_acc(scores, GGML_PREC_F32);
    float scale = shape.scale;
    if (shape.softcap > 0) {
        scores = ggml_tanh(c, ggml_scale(c, scores, scale / shape.softcap));
        scale = shape.softcap;
    }
    if (shape.causal && !mask && query->ne[2] > 1) {
        scores = ggml_diag_mask_inf(c, scores, static_cast<int>(keys->ne[2] - query->ne[2]));
    }
    ggml_tensor* weights = ggml_soft_max_ext(c, scores, mask, scale, 0.0f);
    ggml_tensor* out = ggml_mul_mat(c, v, weights);  // (head_dim, n, heads, batch)
    ggml_prec_set_acc(out, GGML_PREC_F32);
    return ggml_cont(c, ggml_permute(c, out, 0, 2, 1, 3));  // (head_dim, heads, n, batch)
}

}  // namespace

ggml_tensor* attention(ggml_context* c, const Backend& backend, ggml_tensor* query, ggml_tensor* keys,
                       ggml_tensor* values, ggml_tensor* visible, const AttentionShape& shape) {
    const int64_t width = shape.head_dim * shape.heads, columns = query->ne[2] * query->ne[3];
    if (!backend.cuts().own_attention) {
        return ggml_reshape_2d(c, composed(c, query, keys, values, visible, shape), width, columns);
    }
    const int64_t floats = scratch_size(query, keys, visible, shape, backend.threads()) * backend.threads();
    ggml_tensor* out = custom_inplace(c, "attention", query, {keys, values, visible, scratch(c, floats)},
                                      compute_attention, &shape);
    return ggml_view_2d(c, out, width, columns, out->nb[2], 0);
}

}  // namespace hyt::ops
