// W4A8 on AVX-VNNI: AVX2's registers, VNNI's dot products.
#include "avx256.h"
#include "instruction_sets.h"

namespace {

struct AvxVnni : Avx256 {
    static constexpr int kStrips = 1;
    template <int kStrips>
    static void dots(const Ints (*weights)[8], const int8_t* a, int32_t start, Ints* sums) {
        for (int s = 0; s < kStrips; ++s) sums[s] = _mm256_set1_epi32(start);
        for (int i = 0; i < 8; ++i) {
            const Ints values = four(a + 4 * i);
            for (int s = 0; s < kStrips; ++s)
                sums[s] = _mm256_dpbusd_avx_epi32(sums[s], weights[s][i], values);
        }
    }
};

}  // namespace

namespace hyt::strips {

StripKernels avx_vnni() {
    return kernels_of<AvxVnni>("AVX_VNNI");
}

}  // namespace hyt::strips
