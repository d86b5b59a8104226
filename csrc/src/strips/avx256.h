// What AVX2 and AVX-VNNI share: 8 rows a vector.
#pragma once

#include <immintrin.h>

#include "kernel.h"
#include "quantize_x86.h"

namespace {

struct Avx256 : QuantizeX86 {
    using Ints = __m256i;
    using Floats = __m256;
    static constexpr int64_t kLanes = 8;
    static constexpr int kTile = 6;

    static void unpack(const uint8_t* from, Ints& low, Ints& high) {
        const __m256i mask = _mm256_set1_epi8(15);
        const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        low = _mm256_and_si256(both, mask);
        high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
    }
    static Ints four(const int8_t* a) {
        int32_t value;
        std::memcpy(&value, a, sizeof value);
        return _mm256_set1_epi32(value);
    }
    static Floats load_halves(const uint8_t* from) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
    static Floats to_floats(Ints v) { return _mm256_cvtepi32_ps(v); }
    static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
    static Floats multiply_add(Floats a, float b, Floats c) {
        return _mm256_fmadd_ps(a, _mm256_set1_ps(b), c);
    }
    static Floats load(const float* from) { return _mm256_loadu_ps(from); }
    static void store(float* to, Floats v) { _mm256_storeu_ps(to, v); }
};

}  // namespace
