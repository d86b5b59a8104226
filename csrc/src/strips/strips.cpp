// Lays matrices out and chooses the kernels.
#include "hyt/strips.h"

#include <cstring>

#include "instruction_sets.h"

namespace hyt {
namespace {

constexpr int64_t kPackedBlock = kBlock / 2 + 2;  // bytes of a Q4_0 block: scale, then numbers
constexpr int64_t kGroup = 4;                     // columns that a dot product instruction sums

}  // namespace

TilePlace tile_of(int64_t column, int64_t columns, int64_t tile) {
    const int64_t tiles = (columns + tile - 1) / tile;
    const int64_t index = ((column + 1) * tiles - 1) / columns;
    const int64_t first = columns * index / tiles;
    return {first, columns * (index + 1) / tiles - first};
}

void pack_strips(const uint8_t* q4_0, int64_t columns, int64_t first, int64_t rows, uint8_t* strips) {
    const int64_t blocks = columns / kBlock, half = kBlock / 2;
    for (int64_t row = first; row < first + rows; ++row) {
        const int64_t lane = row % kStripRows;
        uint8_t* strip = strips + row / kStripRows * blocks * kStripRows * kPackedBlock;
        uint8_t* scales = strip + blocks * kStripRows * half;
        for (int64_t block = 0; block < blocks; ++block) {
            const uint8_t* from = q4_0 + ((row - first) * blocks + block) * kPackedBlock;
            std::memcpy(scales + (block * kStripRows + lane) * 2, from, 2);
            // Q4_0 holds columns i and 16 + i in a byte, as the strips do.
            for (int64_t i = 0; i < half; i += kGroup) {
                std::memcpy(strip + (block * half + i) * kStripRows + lane * kGroup, from + 2 + i, kGroup);
            }
        }
    }
}

const std::vector<StripKernels>& strip_kernels() {
    static const std::vector<StripKernels> kernels = [] {
        std::vector<StripKernels> found;
#if defined(__x86_64__)
        __builtin_cpu_init();
        const bool avx2 =
            __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && strips::has_f16c();
#if !defined(HYT_NO_VNNI)
        if (avx2 && strips::has_avx512_vnni()) found.push_back(strips::avx512_vnni());
        if (avx2 && strips::has_avx_vnni()) found.push_back(strips::avx_vnni());
#endif
        if (avx2) found.push_back(strips::avx2());
#elif defined(__aarch64__)
        if (strips::has_neon_dot()) found.push_back(strips::neon_dot());
#endif
        return found;
    }();
    return kernels;
}

}  // namespace hyt
