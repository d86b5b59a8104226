// Quantising a block of activations with AVX2, for all x86 kernels.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

struct QuantizeX86 {
    static float largest_of_block(const float* x) {
        const __m256 sign = _mm256_set1_ps(-0.0f);
        __m256 top = _mm256_andnot_ps(sign, _mm256_loadu_ps(x));
        for (int i = 8; i < 32; i += 8)
            top = _mm256_max_ps(top, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
        __m128 four = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
        four = _mm_max_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    }

    // Rounds x * factor to int8, to even; returns the sum.
    static int32_t quantize_block(const float* x, float factor, int8_t* out) {
        const __m256 by = _mm256_set1_ps(factor);
        const auto rounded = [&](int i) {
            return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), by));
        };
        const __m256i a = rounded(0), b = rounded(8), c = rounded(16), d = rounded(24);
        const __m256i sums = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
        // Packing works on halves of 16 bytes: the permutation puts fours in order again.
        const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permutevar8x32_epi32(bytes, order));
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
    }

    static float through_half(float value) { return _cvtsh_ss(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)); }
};

}  // namespace
