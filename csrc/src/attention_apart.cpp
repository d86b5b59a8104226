// Attention of one query, or of a few that each have keys of their own: what a step of decoding asks for.
//
// Keys and values come from memory, so they are read once and in the order in which they lie: a block of
// positions serves all queries of a thread before the next block is read. What a query gets does not depend
// on which others it is computed with.
#include <ggml-cpu.h>

#include <algorithm>

#include "attention.h"
#include "ops.h"
#include "simd.h"

namespace hyt::ops {
namespace {

using simd::kLanes;
using simd::Vector;

constexpr int64_t kPositions = 16;  // of a block: its keys of one head stay in the first cache
constexpr int64_t kKeys = 8;        // whose products with a query are summed at a time
constexpr int64_t kCacheLine = 64;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int64_t kMostVectors = 8;  // of an output, summed at a time: as many as leave two sums each in
#else                                // registers
constexpr int64_t kMostVectors = 4;
#endif

// Rows of a block's keys or values of one head, float32.
using Rows = const float* [kPositions];

// The rows at `first` and behind it; behind the last position that row again. float16 is converted into
// `buffer` (head_dim * kPositions).
void read_rows(const ggml_tensor* t, int64_t head, int64_t first, int64_t batch, float* buffer, Rows rows) {
    for (int64_t i = 0; i < kPositions; ++i) {
        const int64_t at = std::min(first + i, t->ne[2] - 1);
        rows[i] = read_row(t, head, at, batch, buffer + i * t->ne[0]);
    }
}

// Asks memory for the rows at `first` and behind it.
void ask_for_rows(const ggml_tensor* t, int64_t head, int64_t first, int64_t batch) {
    const int64_t last = std::min(first + kPositions, t->ne[2]);
    const int64_t bytes = t->ne[0] * static_cast<int64_t>(t->nb[0]);
    for (int64_t at = first; at < last; ++at) {
        const char* row = row_of(t, head, at, batch);
        for (int64_t i = 0; i < bytes; i += kCacheLine) __builtin_prefetch(row + i);
    }
}

// Products of a query with kKeys keys.
void multiply_keys(const float* query, const float* const* keys, int64_t n, float* products) {
    Vector sums[kKeys] = {};
    int64_t d = 0;
    for (; d + kLanes <= n; d += kLanes) {
        const Vector q = simd::load(query + d);
        for (int64_t i = 0; i < kKeys; ++i) sums[i] += q * simd::load(keys[i] + d);
    }
    for (int64_t i = 0; i < kKeys; i += 4) simd::sums_of_four(sums + i, products + i);
    for (; d < n; ++d) {
        for (int64_t i = 0; i < kKeys; ++i) products[i] += query[d] * keys[i][d];
    }
}

// Columns [d, d + vectors * kLanes) of an output += `count` values times their weights; even and odd ones
// apart, so that sums need not wait for each other.
template <int64_t vectors>
void add_weighed(const float* weights, const float* const* values, int64_t count, int64_t d, float* out) {
    Vector even[vectors], odd[vectors] = {};
    for (int64_t v = 0; v < vectors; ++v) even[v] = simd::load(out + d + v * kLanes);
    const auto add = [&](Vector* sums, int64_t j) {
        for (int64_t v = 0; v < vectors; ++v) sums[v] += weights[j] * simd::load(values[j] + d + v * kLanes);
    };
    int64_t j = 0;
    for (; j + 1 < count; j += 2) {
        add(even, j);
        add(odd, j + 1);
    }
    if (j < count) add(even, j);
    for (int64_t v = 0; v < vectors; ++v) simd::store(out + d + v * kLanes, even[v] + odd[v]);
}

void add_weighed(const float* weights, const float* const* values, int64_t count, int64_t n, float* out) {
    int64_t d = 0;
    for (; d + kMostVectors * kLanes <= n; d += kMostVectors * kLanes)
        add_weighed<kMostVectors>(weights, values, count, d, out);
    for (; d + kLanes <= n; d += kLanes) add_weighed<1>(weights, values, count, d, out);
    for (; d < n; ++d) {
        for (int64_t j = 0; j < count; ++j) out[d] += weights[j] * values[j][d];
    }
}

// Rows [first, last) of one batch; a row is (key head, query, head of the key head's group), and its scores
// stand at the place of their keys behind `base`.
struct Part {
    const Operands& o;
    int64_t batch, first, last;
    float *scores, *buffer;
    int64_t base, end, stride;  // positions that any row sees; floats between rows' scores

    int64_t rows_of_head() const { return o.queries() * o.group(); }
    int64_t query_of(int64_t row) const { return row % rows_of_head() / o.group(); }
    int64_t head_of(int64_t row) const { return row / rows_of_head() * o.group() + row % o.group(); }
    float* scores_of(int64_t row) const { return scores + (row - first) * stride; }
    float* out_of(int64_t row) const { return o.out_row(head_of(row), query_of(row), batch); }

    // Calls use(row, from, to, rows' pointers) for every row and block of positions that it sees some of, in
    // the order in which `t` lies in memory.
    template <typename Use>
    void each_block(const ggml_tensor* t, const Use& use) const {
        for (int64_t block = base; block < end; block += kPositions) {
            for (int64_t row = first; row < last;) {
                const int64_t kv_head = row / rows_of_head();
                const int64_t behind = std::min(last, (kv_head + 1) * rows_of_head());
                Rows rows;
                read_rows(t, kv_head, block, batch, buffer, rows);
                ask_for_rows(t, kv_head, block + kPositions, batch);
                for (; row < behind; ++row) {
                    const int64_t at = query_of(row);
                    const int64_t from = std::max(block, o.first_key(at));
                    const int64_t to = std::min(block + kPositions, o.last_key(at));
                    if (from < to) use(row, block, from, to, rows);
                }
            }
        }
    }

    void attend() const {
        const int64_t n = o.shape.head_dim;
        each_block(o.keys, [&](int64_t row, int64_t block, int64_t, int64_t to, const Rows& keys) {
            const float* query = read_row(o.query, head_of(row), query_of(row), batch, nullptr);
            float* own = scores_of(row) + block - base;
            for (int64_t i = 0; block + i < to; i += kKeys) multiply_keys(query, keys + i, n, own + i);
        });
        for (int64_t row = first; row < last; ++row) {
            const int64_t at = query_of(row), from = o.first_key(at), count = o.last_key(at) - from;
            float* own = scores_of(row) + from - base;
            const float norm = soften(own, count, o.shape);
            std::for_each(own, own + count, [norm](float& weight) { weight *= norm; });
            std::fill_n(out_of(row), n, 0.0f);
        }
        each_block(o.values, [&](int64_t row, int64_t block, int64_t from, int64_t to, const Rows& values) {
            add_weighed(scores_of(row) + from - base, values + from - block, to - from, n, out_of(row));
        });
    }
};

int64_t most_rows(int64_t rows, int threads) {
    return (rows + threads - 1) / threads;
}

// Scores begin at the start of a block, and softmax pads them to whole vectors.
int64_t score_stride(int64_t keys) {
    return pad(keys + kPositions);
}

}  // namespace

int64_t apart_scratch(const ggml_tensor* query, const ggml_tensor* keys, const AttentionShape& shape,
                      int threads) {
    const int64_t rows = most_rows(shape.heads * query->ne[2] * query->ne[3], threads);
    return rows * score_stride(keys->ne[2]) + kPositions * shape.head_dim;
}

void attend_apart(const Operands& o, float* scratch, int thread, int threads) {
    const int64_t rows = o.shape.heads * o.queries();
    auto [first, last] = share(rows * o.query->ne[3], thread, threads);
    int64_t base = o.keys->ne[2], end = 0;
    for (int64_t at = 0; at < o.queries(); ++at) {
        base = std::min(base, o.first_key(at));
        end = std::max(end, o.last_key(at));
    }
    base = base / kPositions * kPositions;
    const int64_t stride = score_stride(o.keys->ne[2]);
    float* buffer = scratch;
    float* scores = scratch + kPositions * o.shape.head_dim;
    while (first < last) {
        const int64_t batch = first / rows, behind = std::min(last, (batch + 1) * rows);
        Part{o, batch, first - batch * rows, behind - batch * rows, scores, buffer, base, end, stride}
            .attend();
        first = behind;
    }
}

}  // namespace hyt::ops
