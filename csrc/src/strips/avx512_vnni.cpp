// W4A8 on AVX-512 with VNNI: 16 rows a vector, four products and their sum a lane in one instruction.
#include <immintrin.h>

#include "instruction_sets.h"
#include "kernel.h"
#include "quantize_x86.h"

namespace {

struct Avx512Vnni : QuantizeX86 {
    using Ints = __m512i;
    using Floats = __m512;
    static constexpr int64_t kLanes = 16;
    static constexpr int kTile = 4;
    static constexpr int kStrips = 2;

    static void unpack(const uint8_t* from, Ints& low, Ints& high) {
        const __m512i mask = _mm512_set1_epi8(15);
        const __m512i both = _mm512_loadu_si512(from);
        low = _mm512_and_si512(both, mask);
        high = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
    }
    static Ints four(const int8_t* a) {
        int32_t value;
        std::memcpy(&value, a, sizeof value);
        return _mm512_set1_epi32(value);
    }
    template <int kStrips>
    static void dots(const Ints (*weights)[8], const int8_t* a, int32_t start, Ints* sums) {
        for (int s = 0; s < kStrips; ++s) sums[s] = _mm512_set1_epi32(start);
        for (int i = 0; i < 8; ++i) {
            const Ints values = four(a + 4 * i);
            for (int s = 0; s < kStrips; ++s) sums[s] = _mm512_dpbusd_epi32(sums[s], weights[s][i], values);
        }
    }
    static Floats load_halves(const uint8_t* from) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    }
    static Floats to_floats(Ints v) { return _mm512_cvtepi32_ps(v); }
    static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
    static Floats multiply_add(Floats a, float b, Floats c) {
        return _mm512_fmadd_ps(a, _mm512_set1_ps(b), c);
    }
    static Floats load(const float* from) { return _mm512_loadu_ps(from); }
    static void store(float* to, Floats v) { _mm512_storeu_ps(to, v); }
};

}  // namespace

namespace hyt::strips {

StripKernels avx512_vnni() {
    return kernels_of<Avx512Vnni>("AVX512_VNNI");
}

}  // namespace hyt::strips
