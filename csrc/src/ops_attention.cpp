// Attention: a CPU kernel for many queries (tiles of two matrix products), one for queries on their own, and
// the composition from ggml's operators for backends that run neither.
#include <algorithm>
#include <array>
#include <limits>

#include "hyt/backend.h"
#include "hyt/ops.h"
#include "ops.h"
#include "simd.h"

namespace hyt::ops {
namespace {

using simd::kLanes;
using simd::Vector;

// Rows of a tile: as many as leave the sums of two vectors each in registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr size_t kQueries = 8;
constexpr int64_t kMostVectors = 8;  // of a single query's output, summed at a time
#else
constexpr size_t kQueries = 6;
constexpr int64_t kMostVectors = 4;
#endif
constexpr int64_t kTileWidth = 2 * kLanes;  // columns of a tile, and of a panel

int64_t pad(int64_t n) {
    return (n + kTileWidth - 1) / kTileWidth * kTileWidth;
}

// A thread's own memory behind the output's values.
struct Scratch {
    int64_t keys, values, scores, outputs, row;  // floats of each part
    int64_t size() const { return keys + values + scores + outputs + row; }
};

Scratch scratch_for(int64_t head_dim, bool apart, int64_t keys) {
    if (apart) return {0, 0, pad(keys), 0, head_dim};
    const auto rows = static_cast<int64_t>(kQueries);
    return {head_dim * pad(keys), pad(keys) * pad(head_dim), rows * pad(keys), rows * pad(head_dim),
            head_dim};
}

// Keys and values that are asked of memory ahead of time, and the floats of a cache line.
constexpr int64_t kAhead = 4, kLine = 16;

// Row of `head` at position `at` as float32; float16 is converted into `buffer` (head_dim).
const float* read_row(const ggml_tensor* t, int64_t head, int64_t at, int64_t batch, float* buffer) {
    const char* bytes = static_cast<const char*>(t->data) + static_cast<size_t>(head) * t->nb[1] +
                        static_cast<size_t>(at) * t->nb[2] + static_cast<size_t>(batch) * t->nb[3];
    if (t->type == GGML_TYPE_F32) return reinterpret_cast<const float*>(bytes);
    ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t*>(bytes), buffer, t->ne[0]);
    return buffer;
}

// Asks memory for a row that is read soon. Rows of one head lie as far apart as all heads are wide, often a
// page, and the CPU's own prefetch ends with the page.
void ask_for(const ggml_tensor* t, int64_t head, int64_t at, int64_t batch) {
    if (at >= t->ne[2]) return;
    const char* bytes = static_cast<const char*>(t->data) + static_cast<size_t>(head) * t->nb[1] +
                        static_cast<size_t>(at) * t->nb[2] + static_cast<size_t>(batch) * t->nb[3];
    const size_t size = static_cast<size_t>(t->ne[0]) * t->nb[0];
    for (size_t i = 0; i < size; i += kLine * sizeof(float)) __builtin_prefetch(bytes + i);
}

float dot(const float* a, const float* b, int64_t n) {
    Vector sums{}, others{};  // need not wait for each other
    int64_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        sums += simd::load(a + i) * simd::load(b + i);
        others += simd::load(a + i + kLanes) * simd::load(b + i + kLanes);
    }
    for (; i + kLanes <= n; i += kLanes) sums += simd::load(a + i) * simd::load(b + i);
    float total = simd::sum(sums + others);
    for (; i < n; ++i) total += a[i] * b[i];
    return total;
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

// Turns `count` products into exp(score - largest score), in memory padded to whole vectors; returns 1 /
// their sum.
float soften(float* scores, int64_t count, const AttentionShape& shape) {
    const int64_t padded = simd::round_up(count);
    const float uncap = shape.softcap > 0 ? 1 / shape.softcap : 0;
    std::fill(scores + count, scores + padded, scores[0]);
    Vector top = simd::spread(-std::numeric_limits<float>::max());
    for (int64_t j = 0; j < padded; j += kLanes) {
        Vector s = simd::load(scores + j) * shape.scale;
        if (shape.softcap > 0) s = shape.softcap * simd::tangent(s * uncap);
        simd::store(scores + j, s);
        top = simd::maximum(top, s);
    }
    const float shift = simd::largest(top);
    for (int64_t j = 0; j < padded; j += kLanes) {
        simd::store(scores + j, simd::exponential(simd::load(scores + j) - shift));
    }
    std::fill(scores + count, scores + padded, 0.0f);
    Vector sums{};
    for (int64_t j = 0; j < padded; j += kLanes) sums += simd::load(scores + j);
    return 1.0f / simd::sum(sums);
}

// The operands and one thread's scratch, as both kernels see them.
struct Operands {
    const ggml_tensor *query, *keys, *values, *visible;
    const AttentionShape& shape;
    float* out;  // (head_dim, heads, n, batch), contiguous
    float* scratch;
    Scratch parts;

    int64_t queries() const { return query->ne[2]; }
    // The keys that a query sees; of a range for all, any query's.
    const int32_t* range(int64_t at) const {
        if (!visible) return nullptr;
        return static_cast<const int32_t*>(visible->data) + (visible->ne[1] > 1 ? 2 * at : 0);
    }
    int64_t first_key(int64_t at = 0) const { return visible ? range(at)[0] : 0; }
    int64_t last_key(int64_t at = 0) const { return visible ? range(at)[1] : keys->ne[2]; }
    int64_t group() const { return shape.heads / shape.kv_heads; }
    // How many keys the query sees, from the first on; a given range holds for all queries alike.
    int64_t seen_by(int64_t at) const {
        const int64_t all = last_key() - first_key();
        return shape.causal && !visible ? all - queries() + at + 1 : all;
    }
    float* out_row(int64_t head, int64_t at, int64_t batch) const {
        return out + ((batch * queries() + at) * shape.heads + head) * shape.head_dim;
    }
};

// Columns [d, d + vectors * kLanes) of a query's output: values weighed by scores, which are of the keys from
// `first` on. Sums stay in registers; even and odd keys apart, so that they need not wait for each other.
template <int64_t vectors>
void weigh(const Operands& o, const float* scores, int64_t kv_head, int64_t batch, int64_t first,
           int64_t last, int64_t d, float norm, float* out) {
    Vector even[vectors] = {}, odd[vectors] = {};
    const auto add = [&](Vector* sums, int64_t j) {
        const float* value = read_row(o.values, kv_head, j, batch, nullptr) + d;
        const float score = scores[j - first];
        for (int64_t v = 0; v < vectors; ++v) sums[v] += score * simd::load(value + v * kLanes);
    };
    int64_t j = first;
    for (; j + 1 < last; j += 2) {
        if (d == 0) {
            ask_for(o.values, kv_head, j + kAhead, batch);
            ask_for(o.values, kv_head, j + kAhead + 1, batch);
        }
        add(even, j);
        add(odd, j + 1);
    }
    if (j < last) add(even, j);
    for (int64_t v = 0; v < vectors; ++v) simd::store(out + d + v * kLanes, (even[v] + odd[v]) * norm);
}

// One query: head by head, over the visible keys only.
void attend_one(const Operands& o, int64_t head, int64_t at, int64_t batch) {
    float* scores = o.scratch;
    float* buffer = scores + o.parts.scores;
    const int64_t first = o.first_key(at), last = o.last_key(at);
    const int64_t kv_head = head / o.group(), n = o.shape.head_dim;
    const float* query = read_row(o.query, head, at, batch, nullptr);
    for (int64_t j = first; j < last; ++j) {
        ask_for(o.keys, kv_head, j + kAhead, batch);
        scores[j - first] = dot(query, read_row(o.keys, kv_head, j, batch, buffer), n);
    }
    const float norm = soften(scores, last - first, o.shape);
    float* out = o.out_row(head, at, batch);
    if (o.values->type != GGML_TYPE_F32 || n % kTileWidth != 0) {
        std::fill(out, out + n, 0.0f);
        for (int64_t j = first; j < last; ++j) {
            const float* value = read_row(o.values, kv_head, j, batch, buffer);
            const float weight = scores[j - first] * norm;
            for (int64_t d = 0; d < n; ++d) out[d] += weight * value[d];
        }
        return;
    }
    int64_t d = 0;
    for (; d + kMostVectors * kLanes <= n; d += kMostVectors * kLanes)
        weigh<kMostVectors>(o, scores, kv_head, batch, first, last, d, norm, out);
    for (; d < n; d += kTileWidth) weigh<2>(o, scores, kv_head, batch, first, last, d, norm, out);
}

// Query rows [first, last) of the heads that read one key head; a row is (query, head of the group).
void attend_many(const Operands& o, int64_t kv_head, int64_t batch, int64_t first, int64_t last) {
    const int64_t from = o.first_key(), keys = o.last_key() - from;
    const int64_t n = o.shape.head_dim, width = pad(keys), depth = pad(n);
    float* transposed = o.scratch;
    float* values = transposed + o.parts.keys;
    float* scores = values + o.parts.values;
    float* outputs = scores + o.parts.scores;
    float* buffer = outputs + o.parts.outputs;
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

void compute_attention(ggml_tensor* result, int thread, int threads, void* user) {
    const auto& shape = *static_cast<const AttentionShape*>(user);
    const ggml_tensor *query = result->src[0], *keys = result->src[1];
    auto* out = static_cast<float*>(result->data);
    const bool apart = attends_apart(query, result->src[3]);
    const Scratch parts = scratch_for(shape.head_dim, apart, keys->ne[2]);
    const Operands o{query,
                     keys,
                     result->src[2],
                     result->src[3],
                     shape,
                     out,
                     out + ggml_nelements(query) + thread * parts.size(),
                     parts};
    const int64_t batches = query->ne[3];
    if (apart) {
        // Heads that read the same keys are neighbours, and so are a head's queries: one thread has them.
        const int64_t rows = shape.heads * o.queries();
        const auto [first, last] = share(rows * batches, thread, threads);
        for (int64_t i = first; i < last; ++i)
            attend_one(o, i % rows / o.queries(), i % o.queries(), i / rows);
        return;
    }
    // Enough pieces that every thread has work; each piece transposes its keys anew, so no more than that.
    const int64_t pieces = shape.kv_heads * batches, rows = o.queries() * o.group();
    const int64_t chunks = (threads + pieces - 1) / pieces;
    for (int64_t i = thread; i < pieces * chunks; i += threads) {
        const int64_t piece = i / chunks, chunk = i % chunks;
        attend_many(o, piece % shape.kv_heads, piece / shape.kv_heads, rows * chunk / chunks,
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
    const bool apart = attends_apart(query, visible);
    const int64_t scratch = scratch_for(shape.head_dim, apart, keys->ne[2]).size() * backend.threads();
    ggml_tensor* all = custom(c, "attention", GGML_TYPE_F32, width * columns + scratch, 1,
                              {query, keys, values, visible}, compute_attention, &shape);
    return ggml_view_2d(c, all, width, columns, static_cast<size_t>(width) * sizeof(float), 0);
}

}  // namespace hyt::ops
