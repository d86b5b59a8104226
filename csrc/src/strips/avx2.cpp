// W4A8 on AVX2: products of two are added in 16 bits.
#include "avx256.h"
#include "instruction_sets.h"

namespace {

struct Avx2 : Avx256 {
    // A pair sum is 2 * 15 * 127 = 3810 at most, so eight of them stay below 2^15: a whole block is summed
    // before it is widened.
    static constexpr int kStrips = 1;
    template <int kStrips>
    static void dots(const Ints (*weights)[8], const int8_t* a, int32_t start, Ints* sums) {
        for (int s = 0; s < kStrips; ++s) {
            Ints pairs = _mm256_maddubs_epi16(weights[s][0], four(a));
            for (int i = 1; i < 8; ++i)
                pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(weights[s][i], four(a + 4 * i)));
            sums[s] =
                _mm256_add_epi32(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)), _mm256_set1_epi32(start));
        }
    }
};

}  // namespace

namespace hyt::strips {

StripKernels avx2() {
    return kernels_of<Avx2>("AVX2");
}

}  // namespace hyt::strips
