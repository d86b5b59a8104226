// Attention of one query, or of a few that each have keys of their own: what a step of decoding asks for.
//
// Keys and values come from memory, so they are read once and in the order in which they lie: a block of
// positions serves all queries of a thread before the next block is read. What a query gets does not depend
// on which others it is computed with.
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
// Of an output, summed at a time: as many as leave two sums each in registers.
constexpr int64_t kMostVectors = simd::kManyRegisters ? 8 : 4;

// A block's keys or values of one head, float32, `stride` apart.
struct Rows {
    const float* first;
    int64_t stride;
    const float* row(int64_t i) const { return first + i * stride; }
};

// The rows at `first` and behind it. float16, and what stands behind the last position (that row again), lie
// in `buffer` (head_dim * kPositions).
Rows read_rows(const ggml_tensor* t, int64_t head, int64_t first, int64_t batch, float* buffer) {
    const int64_t n = t->ne[0];
    if (t->type == GGML_TYPE_F32 && first + kPositions <= t->ne[2])
        return {read_row(t, head, first, batch, nullptr), static_cast<int64_t>(t->nb[2] / sizeof(float))};
    for (int64_t i = 0; i < kPositions; ++i) {
        float* to = buffer + i * n;
        const float* row = read_row(t, head, std::min(first + i, t->ne[2] - 1), batch, to);
        if (row != to) std::copy_n(row, n, to);
    }
    return {buffer, n};
}

// Products of a query with kKeys keys.
void multiply_keys(const float* query, const Rows& keys, int64_t n, float* products) {
    Vector sums[kKeys] = {};
    int64_t d = 0;
    for (; d + kLanes <= n; d += kLanes) {
        const Vector q = simd::load(query + d);
        for (int64_t i = 0; i < kKeys; ++i) sums[i] += q * simd::load(keys.row(i) + d);
    }
    for (int64_t i = 0; i < kKeys; i += 4) simd::sums_of_four(sums + i, products + i);
    for (; d < n; ++d) {
        for (int64_t i = 0; i < kKeys; ++i) products[i] += query[d] * keys.row(i)[d];
    }
}

// Columns from `d` on of an output += `count` values times their weights, as many vectors at a time as are
// left; even and odd values apart, so that sums need not wait for each other.
template <int64_t vectors>
void add_weighed(const float* weights, const Rows& values, int64_t count, int64_t n, int64_t d, float* out) {
    for (; d + vectors * kLanes <= n; d += vectors * kLanes) {
        Vector even[vectors], odd[vectors] = {};
        for (int64_t v = 0; v < vectors; ++v) even[v] = simd::load(out + d + v * kLanes);
        const auto add = [&](Vector* sums, int64_t j) {
            const float* value = values.row(j) + d;
            for (int64_t v = 0; v < vectors; ++v) sums[v] += weights[j] * simd::load(value + v * kLanes);
        };
        int64_t j = 0;
        for (; j + 1 < count; j += 2) {
            add(even, j);
            add(odd, j + 1);
        }
        if (j < count) add(even, j);
        for (int64_t v = 0; v < vectors; ++v) simd::store(out + d + v * kLanes, even[v] + odd[v]);
    }
    if constexpr (vectors > 1) return add_weighed<vectors / 2>(weights, values, count, n, d, out);
    for (; d < n; ++d) {
        for (int64_t j = 0; j < count; ++j) out[d] += weights[j] * values.row(j)[d];
    }
}

// Rows [first, last) of one batch; a row is (key head, query, head of the key head's group). Its scores stand
// at the place of their keys behind `base`.
struct Part {
    const Operands& o;
    int64_t batch, first, last;
    float *scores, *buffer;
    int64_t base, end, stride;  // positions that any row sees; floats between rows' scores

    struct Row {
        int64_t head, query;
        float* scores;
    };

    // Calls use(row) for each row of a key head.
    template <typename Use>
    void each_row(int64_t kv_head, const Use& use) const {
        const int64_t group = o.group(), before = kv_head * group * o.queries();
        const int64_t from = std::max(first, before), to = std::min(last, before + group * o.queries());
        int64_t query = (from - before) / group, member = (from - before) % group;
        for (int64_t i = from; i < to; ++i) {
            use(Row{kv_head * group + member, query, scores + (i - first) * stride});
            if (++member == group) {
                member = 0;
                ++query;
            }
        }
    }

    // Calls use(kv_head) for each key head that any row reads.
    template <typename Use>
    void each_head(const Use& use) const {
        const int64_t rows = o.group() * o.queries();
        for (int64_t kv_head = first / rows; kv_head * rows < last; ++kv_head) use(kv_head);
    }

    // Calls use(row, block's position, [from, to) that the row sees of it, block), in the order in which `t`
    // lies in memory.
    template <typename Use>
    void each_block(const ggml_tensor* t, const Use& use) const {
        for (int64_t at = base; at < end; at += kPositions) {
            each_head([&](int64_t kv_head) {
                const Rows rows = read_rows(t, kv_head, at, batch, buffer);
                each_row(kv_head, [&](const Row& row) {
                    const int64_t from = std::max(at, o.first_key(row.query));
                    const int64_t to = std::min(at + kPositions, o.last_key(row.query));
                    if (from < to) use(row, at, from, to, rows);
                });
            });
        }
    }

    void attend() const {
        const int64_t n = o.shape.head_dim;
        each_block(o.keys, [&](const Row& row, int64_t at, int64_t, int64_t to, const Rows& keys) {
            const float* query = read_row(o.query, row.head, row.query, batch, nullptr);
            for (int64_t i = 0; at + i < to; i += kKeys)
                multiply_keys(query, {keys.row(i), keys.stride}, n, row.scores + at + i - base);
        });
        each_head([&](int64_t kv_head) {
            each_row(kv_head, [&](const Row& row) {
                const int64_t from = o.first_key(row.query), count = o.last_key(row.query) - from;
                float* own = row.scores + from - base;
                const float norm = soften(own, count, o.shape);
                for (int64_t j = 0; j < count; j += kLanes)  // padded
                    simd::store(own + j, simd::load(own + j) * norm);
                std::fill_n(o.out_row(row.head, row.query, batch), n, 0.0f);
            });
        });
        each_block(o.values, [&](const Row& row, int64_t at, int64_t from, int64_t to, const Rows& values) {
            add_weighed<kMostVectors>(row.scores + from - base, {values.row(from - at), values.stride},
                                      to - from, n, 0, o.out_row(row.head, row.query, batch));
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

int64_t apart_scratch(int64_t queries, int64_t keys, const AttentionShape& shape, int threads) {
    return most_rows(shape.heads * queries, threads) * score_stride(keys) + kPositions * shape.head_dim;
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
