// W4A8 on Arm's int8 dot product instructions (Armv8.2 dotprod): 4 rows a vector.
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "instruction_sets.h"
#include "kernel.h"

namespace {

struct NeonDot {
    using Ints = int8x16_t;
    using Floats = float32x4_t;
    static constexpr int64_t kLanes = 4;
    static constexpr int kTile = 8;
    static constexpr int kStrips = 1;

    static void unpack(const uint8_t* from, Ints& low, Ints& high) {
        const uint8x16_t both = vld1q_u8(from);
        low = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
        high = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
    }
    template <int kStrips>
    static void dots(const Ints (*weights)[8], const int8_t* a, int32_t start, Ints* sums) {
        const int8x16_t first = vld1q_s8(a), second = vld1q_s8(a + 16);
        for (int s = 0; s < kStrips; ++s) {
            int32x4_t sum = vdupq_n_s32(start);
            sum = vdotq_laneq_s32(sum, weights[s][0], first, 0);
            sum = vdotq_laneq_s32(sum, weights[s][1], first, 1);
            sum = vdotq_laneq_s32(sum, weights[s][2], first, 2);
            sum = vdotq_laneq_s32(sum, weights[s][3], first, 3);
            sum = vdotq_laneq_s32(sum, weights[s][4], second, 0);
            sum = vdotq_laneq_s32(sum, weights[s][5], second, 1);
            sum = vdotq_laneq_s32(sum, weights[s][6], second, 2);
            sum = vdotq_laneq_s32(sum, weights[s][7], second, 3);
            sums[s] = vreinterpretq_s8_s32(sum);
        }
    }
    static Floats load_halves(const uint8_t* from) {
        return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(from)));
    }
    static Floats to_floats(Ints v) { return vcvtq_f32_s32(vreinterpretq_s32_s8(v)); }
    static Floats multiply(Floats a, Floats b) { return vmulq_f32(a, b); }
    static Floats multiply_add(Floats a, float b, Floats c) { return vfmaq_n_f32(c, a, b); }
    static Floats load(const float* from) { return vld1q_f32(from); }
    static void store(float* to, Floats v) { vst1q_f32(to, v); }

    static float largest_of_block(const float* x) {
        float32x4_t top = vabsq_f32(vld1q_f32(x));
        for (int i = 4; i < 32; i += 4) top = vmaxq_f32(top, vabsq_f32(vld1q_f32(x + i)));
        return vmaxvq_f32(top);
    }
    static int32_t quantize_block(const float* x, float factor, int8_t* out) {
        int32_t sum = 0;
        for (int i = 0; i < 32; i += 8) {
            const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i), factor));
            const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i + 4), factor));
            sum += vaddvq_s32(vaddq_s32(low, high));
            vst1_s8(out + i, vqmovn_s16(vcombine_s16(vqmovn_s32(low), vqmovn_s32(high))));
        }
        return sum;
    }
    static float through_half(float value) {
        const float16x4_t half = vcvt_f16_f32(vdupq_n_f32(value));
        return vgetq_lane_f32(vcvt_f32_f16(half), 0);
    }
};

}  // namespace

namespace hyt::strips {

bool has_neon_dot() {
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

StripKernels neon_dot() {
    return kernels_of<NeonDot>("NEON_DOTPROD");
}

}  // namespace hyt::strips
