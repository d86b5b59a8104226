// Products of quantised weights with float32 activations: blocks are expanded a few rows at a time, never a
// matrix.
#include "hyt/exact_product.h"

#include <algorithm>

#include "hyt/backend.h"
#include "ops.h"
#include "simd.h"

namespace hyt::ops {
namespace {

using simd::kLanes;
using simd::Vector;

// A strip's piece of weights, expanded, stays in the first cache while all columns are multiplied with it.
constexpr int64_t kStrip = 8;    // rows
constexpr int64_t kPiece = 512;  // values of each; a multiple of every type's block
constexpr int64_t kRows = 4;     // of a tile, which has one or two columns: their sums stay in registers

// sums += rows times columns over n values.
template <int64_t kColumns>
void multiply_tile(const float* rows, const float* const (&columns)[kColumns], int64_t n,
                   float (&out)[kColumns][kRows]) {
    Vector sums[kColumns][kRows] = {};
    const int64_t whole = n / kLanes * kLanes;
    for (int64_t i = 0; i < whole; i += kLanes) {
        for (int64_t c = 0; c < kColumns; ++c) {
            const Vector right = simd::load(columns[c] + i);
            for (int64_t r = 0; r < kRows; ++r) sums[c][r] += simd::load(rows + r * kPiece + i) * right;
        }
    }
    for (int64_t c = 0; c < kColumns; ++c) {
        for (int64_t r = 0; r < kRows; ++r) {
            out[c][r] = simd::sum(sums[c][r]);
            for (int64_t i = whole; i < n; ++i) out[c][r] += rows[r * kPiece + i] * columns[c][i];
        }
    }
}

// Adds to rows [row, row + rows) of `out`, columns [at, at + kColumns), what values [first, first + n) give.
template <int64_t kColumns>
void add_tiles(const float* strip, const ggml_tensor* x, int64_t first, int64_t n, ggml_tensor* out,
               int64_t row, int64_t rows, int64_t at) {
    const float* columns[kColumns];
    for (int64_t c = 0; c < kColumns; ++c) columns[c] = column(x, at + c) + first;
    for (int64_t r = 0; r < rows; r += kRows) {
        float tile[kColumns][kRows];
        multiply_tile<kColumns>(strip + r * kPiece, columns, n, tile);
        for (int64_t c = 0; c < kColumns; ++c) {
            float* to = column(out, at + c) + row + r;
            for (int64_t k = 0; k < std::min(kRows, rows - r); ++k) to[k] += tile[c][k];
        }
    }
}

void compute_exact(ggml_tensor* out, int thread, int threads, void*) {
    const ggml_tensor *matrix = out->src[0], *x = out->src[1];
    const auto expand = ggml_get_type_traits(matrix->type)->to_float;
    const int64_t all_rows = out->ne[0], count = out->ne[1], values = matrix->ne[0];
    float strip[kStrip * kPiece] = {};
    const auto [first, last] = share((all_rows + kStrip - 1) / kStrip, thread, threads);
    for (int64_t row = first * kStrip; row < std::min(all_rows, last * kStrip); row += kStrip) {
        const int64_t rows = std::min(kStrip, all_rows - row);
        for (int64_t c = 0; c < count; ++c) std::fill_n(column(out, c) + row, rows, 0.0f);
        for (int64_t from = 0; from < values; from += kPiece) {
            const int64_t n = std::min(kPiece, values - from);
            for (int64_t r = 0; r < rows; ++r) {
                const char* at = static_cast<const char*>(matrix->data) +
                                 static_cast<size_t>(row + r) * matrix->nb[1] +
                                 ggml_row_size(matrix->type, from);
                expand(at, strip + r * kPiece, n);
            }
            int64_t c = 0;
            for (; c + 2 <= count; c += 2) add_tiles<2>(strip, x, from, n, out, row, rows, c);
            for (; c < count; ++c) add_tiles<1>(strip, x, from, n, out, row, rows, c);
        }
    }
}

}  // namespace

ggml_tensor* exact_product(ggml_context* c, ggml_tensor* matrix, ggml_tensor* x) {
    return custom(c, "float32 product", GGML_TYPE_F32, matrix->ne[1], x->ne[1], {matrix, x}, compute_exact,
                  nullptr);
}

bool is_exact_product(const ggml_tensor* node) {
    Call call{};
    return node->op == GGML_OP_CUSTOM && call_of(node, call) && call.kernel == compute_exact;
}

}  // namespace hyt::ops
