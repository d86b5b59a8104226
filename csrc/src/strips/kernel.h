// The W4A8 kernels, written once over what an instruction set has to offer.
//
// `Set` names vectors of kLanes rows (Ints, Floats) and how they are loaded, multiplied and stored; each
// instruction set's file compiles these templates with its own flags. Everything here has internal linkage:
// an inline function compiled for AVX-512 must not be the one that the linker keeps for the rest of the
// program.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "hyt/strips.h"

namespace {

using hyt::kBlock;
using hyt::kStripRows;

constexpr int64_t kGroups = 4;        // of a block, 64 bytes each
constexpr int64_t kChunkBlocks = 32;  // of a pass over columns: a tile's activations stay in the first cache
constexpr int64_t kPanelStrips = 16;  // of such a pass: their weights and sums stay in the second
constexpr int64_t kAhead = 16;        // blocks of weights that memory is asked for early
constexpr int64_t kFewTiles = 2;      // of columns that wait for memory more than they compute,
constexpr int64_t kFewBlocks = 8;     // and of their passes: in the first cache while memory brings the next
constexpr int64_t kColumnBytes = kBlock + 8;

// A tile's block of activations.
struct Activations {
    const int8_t* values;
    const float* scales;
    const int32_t* offsets;
};

inline Activations activations_at(const uint8_t* block, int64_t width) {
    return {reinterpret_cast<const int8_t*>(block), reinterpret_cast<const float*>(block + width * kBlock),
            reinterpret_cast<const int32_t*>(block + width * (kBlock + 4))};
}

// Where the weights of a tile's vectors lie.
struct Strips {
    const uint8_t *numbers, *scales;
    int64_t bytes;        // from one strip to the next
    int64_t scale_bytes;  // of them a strip's scales, which stand behind its numbers
    int64_t left;         // blocks up to the strip's end
    bool read_first;      // here, and a few times at most: memory is waited for, so it is asked early
};

// Asks for what will be read later than `block` of `together` strips and, once that is all, of those behind
// them.
// Inlined by force: a call to a function that only prefetches is one without effect to GCC, and left out.
inline __attribute__((always_inline)) void fetch(const Strips& s, int64_t block, int64_t together) {
    const int64_t last = block + kAhead < s.left ? 0 : s.bytes * (together - 1) + s.scale_bytes;
    for (int64_t strip = 0; strip < together; ++strip) {
        const uint8_t* later = s.numbers + strip * s.bytes + kAhead * kStripRows * (kBlock / 2) + last;
        for (int64_t line = 0; line < kStripRows * (kBlock / 2); line += 64) __builtin_prefetch(later + line);
        __builtin_prefetch(s.scales + (strip + together) * s.bytes);
    }
}

// out (rows of kVectors vectors, kWidth) += their weights, over `blocks` blocks, times a tile. A vector is
// kLanes rows of the first strip behind `lane`; where it is a whole strip, vectors are strips side by side.
template <typename Set, int kVectors, int kWidth>
void multiply_tile(Strips strips, int64_t lane, int64_t blocks, const uint8_t* tile, float* out,
                   int64_t stride) {
    constexpr bool kWholeStrips = Set::kLanes == kStripRows;
    constexpr int64_t kTogether = kWholeStrips ? kVectors : 1;
    const int64_t numbers_step = kWholeStrips ? strips.bytes : Set::kLanes * 4;
    const int64_t scales_step = kWholeStrips ? strips.bytes : Set::kLanes * 2;
    typename Set::Floats sums[kWidth][kVectors];
    for (int j = 0; j < kWidth; ++j) {
        for (int v = 0; v < kVectors; ++v) sums[j][v] = Set::load(out + j * stride + lane + v * Set::kLanes);
    }
    for (int64_t block = 0; block < blocks; ++block) {
        if (strips.read_first) fetch(strips, block, kTogether);
        typename Set::Ints weights[kVectors][2 * kGroups];
        typename Set::Floats scale[kVectors];
        for (int v = 0; v < kVectors; ++v) {
            const uint8_t* numbers = strips.numbers + lane * 4 + v * numbers_step;
            for (int64_t g = 0; g < kGroups; ++g)
                Set::unpack(numbers + g * 4 * kStripRows, weights[v][g], weights[v][kGroups + g]);
            scale[v] = Set::load_halves(strips.scales + lane * 2 + v * scales_step);
        }
        const Activations a = activations_at(tile, kWidth);
        for (int j = 0; j < kWidth; ++j) {
            typename Set::Ints dots[kVectors];
            Set::template dots<kVectors>(weights, a.values + j * kBlock, a.offsets[j], dots);
            for (int v = 0; v < kVectors; ++v) {
                const typename Set::Floats scaled = Set::multiply(Set::to_floats(dots[v]), scale[v]);
                sums[j][v] = Set::multiply_add(scaled, a.scales[j], sums[j][v]);
            }
        }
        strips.numbers += kGroups * 4 * kStripRows;
        strips.scales += 2 * kStripRows;
        tile += kWidth * kColumnBytes;
    }
    for (int j = 0; j < kWidth; ++j) {
        for (int v = 0; v < kVectors; ++v) Set::store(out + j * stride + lane + v * Set::kLanes, sums[j][v]);
    }
}

template <typename Set, int kStrips, int kWidth = Set::kTile>
void multiply_strips(const Strips& strips, int64_t blocks, const uint8_t* tile, int64_t width, float* out,
                     int64_t stride) {
    if constexpr (kWidth > 1) {
        if (width < kWidth)
            return multiply_strips<Set, kStrips, kWidth - 1>(strips, blocks, tile, width, out, stride);
    }
    if constexpr (kWidth == 1) {
        // Each weight is used once: all rows of a strip together, so that memory is read in one go.
        constexpr int kVectors = kStripRows / Set::kLanes;
        return multiply_tile<Set, kStrips * kVectors, 1>(strips, 0, blocks, tile, out, stride);
    }
    for (int64_t lane = 0; lane < kStripRows; lane += Set::kLanes)
        multiply_tile<Set, kStrips, kWidth>(strips, lane, blocks, tile, out, stride);
}

// Blocks [from, to) of kStrips strips and a tile: sums are taken up where the blocks before left them.
template <typename Set, int kStrips>
void accumulate(const hyt::StripProduct& p, int64_t strip, int64_t first, int64_t width, int64_t from,
                int64_t to) {
    constexpr int64_t kRows = kStrips * kStripRows;
    const int64_t strip_bytes = p.blocks * kStripRows * (kBlock / 2 + 2);
    const uint8_t* first_number = p.weights + strip * strip_bytes;
    const uint8_t* first_scale = first_number + p.blocks * kStripRows * (kBlock / 2);
    const Strips strips{first_number + from * kStripRows * (kBlock / 2),
                        first_scale + from * kStripRows * 2,
                        strip_bytes,
                        p.blocks * kStripRows * 2,
                        p.blocks - from,
                        p.read_ahead && first == 0 && p.columns <= kFewTiles * Set::kTile};
    const uint8_t* tile = p.activations + (first * p.blocks + from * width) * kColumnBytes;
    const int64_t row = strip * kStripRows, rows = std::min(kRows, p.rows - row);
    float* out = p.out + first * p.stride + row;
    float part[Set::kTile * kRows];  // of strips that the matrix does not fill
    const bool whole = rows == kRows;
    float* sums = whole ? out : part;
    const int64_t stride = whole ? p.stride : kRows;
    for (int64_t j = 0; j < width; ++j) {
        if (from == 0 && p.bias) std::copy(p.bias + row, p.bias + row + rows, sums + j * stride);
        if (from == 0 && !p.bias) std::fill(sums + j * stride, sums + j * stride + rows, 0.0f);
        if (from > 0 && !whole) std::copy(out + j * p.stride, out + j * p.stride + rows, part + j * stride);
    }
    multiply_strips<Set, kStrips>(strips, to - from, tile, width, sums, stride);
    for (int64_t j = 0; j < width && !whole; ++j)
        std::copy(part + j * stride, part + j * stride + rows, out + j * p.stride);
}

// Blocks [from, to) of kStrips strips and all columns.
template <typename Set, int kStrips>
void accumulate_all(const hyt::StripProduct& p, int64_t strip, int64_t from, int64_t to) {
    for (int64_t column = 0; column < p.columns;) {
        const int64_t width = hyt::tile_of(column, p.columns, Set::kTile).width;
        accumulate<Set, kStrips>(p, strip, column, width, from, to);
        column += width;
    }
}

template <typename Set>
void multiply(const hyt::StripProduct& p, int64_t first, int64_t last) {
    // Few columns read the weights from memory, once: strip by strip, in the order in which they lie.
    const bool few = p.one_pass && p.columns <= kFewTiles * Set::kTile;
    const int64_t together = p.columns == 1 ? 1 : Set::kStrips;
    const int64_t strips = few ? together : kPanelStrips;
    const int64_t chunk = !few ? kChunkBlocks : p.columns == 1 ? p.blocks : kFewBlocks;
    for (int64_t panel = first; panel < last; panel += strips) {
        const int64_t panel_end = std::min(last, panel + strips);
        for (int64_t from = 0; from < p.blocks; from += chunk) {
            const int64_t to = std::min(p.blocks, from + chunk);
            int64_t strip = panel;
            for (; together > 1 && strip + together <= panel_end; strip += together)
                accumulate_all<Set, Set::kStrips>(p, strip, from, to);
            for (; strip < panel_end; ++strip) accumulate_all<Set, 1>(p, strip, from, to);
        }
    }
}

// As ggml's Q8_0: d = largest / 127, rounded to float16 where it multiplies; values by 127 / largest.
template <typename Set>
void quantize(const float* values, int64_t blocks, int64_t width, int64_t at, uint8_t* to) {
    for (int64_t block = 0; block < blocks; ++block) {
        const Activations a = activations_at(to, width);
        auto* out = const_cast<int8_t*>(a.values) + at * kBlock;
        const float largest = Set::largest_of_block(values);
        const int32_t sum = Set::quantize_block(values, largest > 0 ? 127.0f / largest : 0.0f, out);
        const_cast<float*>(a.scales)[at] = Set::through_half(largest / 127.0f);
        // Unsigned: of values that are not finite the sum may be any number.
        const_cast<int32_t*>(a.offsets)[at] = static_cast<int32_t>(-8u * static_cast<uint32_t>(sum));
        values += kBlock;
        to += width * kColumnBytes;
    }
}

template <typename Set>
hyt::StripKernels kernels_of(const char* name) {
    return {name, Set::kTile, quantize<Set>, multiply<Set>};
}

}  // namespace
