// INT4 matrices in strips of 16 rows, and the kernels that multiply them with int8 activations (W4A8).
//
// A matrix comes as GGUF's Q4_0: blocks of 32 columns of a row, each 32 unsigned 4-bit numbers u and a
// float16 scale d; a weight is d * (u - 8).
//
// Strips, one behind the other; rows beyond the last are zero. With `blocks` = columns / 32 a strip is
//   1. blocks * 256 bytes: a block's four groups of 64 bytes. Byte 4 r + t of group g (r row of the strip,
//      t 0 to 3) holds column 4 g + t in its low half and column 16 + 4 g + t in its high half.
//   2. blocks * 32 bytes: a block's scales, float16, row by row.
// That is one copy of the weights, no larger than Q4_0, for every instruction set and any number of columns.
//
// Activations, quantised as ggml does (Q8_0: d = largest magnitude / 127, rounded to float16), lie in tiles
// of up to `tile` columns, as equal as they can be; tile i of n holds columns [columns * i / n, columns * (i
// + 1) / n). Of a tile `width` columns wide, each block of 32 values a column is
//   1. width * 32 bytes: int8 values, column by column
//   2. width * 4 bytes: d, float32
//   3. width * 4 bytes: -8 * sum of the values, int32: what the weights' offset adds up to.
//
// Sums are exact integers within a block and float32 over blocks, in order, so a product does not depend on
// how columns are tiled or rows are shared out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hyt {

constexpr int64_t kStripRows = 16;
constexpr int64_t kBlock = 32;

constexpr int64_t strip_count(int64_t rows) {
    return (rows + kStripRows - 1) / kStripRows;
}
// Bytes of a matrix; `columns` is a multiple of 32.
constexpr size_t strips_size(int64_t columns, int64_t rows) {
    return static_cast<size_t>(strip_count(rows) * columns / kBlock * (kStripRows * (kBlock / 2 + 2)));
}
// Bytes of `count` quantised columns of `values` values each; `values` is a multiple of 32.
constexpr size_t activations_size(int64_t values, int64_t count) {
    return static_cast<size_t>(values / kBlock * count * (kBlock + 8));
}

// Where `column` of `columns` lies.
struct TilePlace {
    int64_t first;  // the tile's first column
    int64_t width;  // its columns
};
TilePlace tile_of(int64_t column, int64_t columns, int64_t tile);

// Lays `rows` rows of Q4_0, one behind the other, out as rows [first, first + rows) of strips. Rows of a last
// strip that are never packed must be zero.
void pack_strips(const uint8_t* q4_0, int64_t columns, int64_t first, int64_t rows, uint8_t* strips);

// What a product reads and writes.
struct StripProduct {
    const uint8_t* weights;                   // strips
    const uint8_t* activations;               // tiles
    const float* bias;                        // (rows), added to every column; null: none
    float* out;                               // (rows, columns)
    int64_t blocks;                           // columns of the matrix / 32
    int64_t rows;                             // of the matrix
    int64_t columns;                          // of the activations
    int64_t stride;                           // floats from one column of `out` to the next
    bool read_ahead = true, one_pass = true;  // see Cuts
};

// One instruction set's kernels.
struct StripKernels {
    const char* name;
    int64_t tile;  // columns of a tile at most
    // Quantises one column of `blocks` * 32 values to place `at` of a tile `width` wide that begins at `to`.
    void (*quantize)(const float* values, int64_t blocks, int64_t width, int64_t at, uint8_t* to);
    // Rows of strips [first, last) of the product.
    void (*multiply)(const StripProduct& product, int64_t first, int64_t last);
    bool read_ahead = true, one_pass = true;  // what products are told (see Cuts)
};

// The kernels that this build has and this CPU runs, the fastest first; empty when there are none.
const std::vector<StripKernels>& strip_kernels();

}  // namespace hyt
