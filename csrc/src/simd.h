// Vectors of float32 as wide as the target's registers, by the compilers' vector extension, and exp and tanh
// on them.
#pragma once

#include <cstdint>
#include <cstring>

namespace hyt::simd {

#if defined(__AVX512F__)
constexpr int64_t kLanes = 16;
#elif defined(__AVX__)
constexpr int64_t kLanes = 8;
#else
constexpr int64_t kLanes = 4;
#endif

// Whether there are 32 registers, not 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr bool kManyRegisters = true;
#else
constexpr bool kManyRegisters = false;
#endif

using Vector = float __attribute__((vector_size(kLanes * sizeof(float))));
using Integers = int32_t __attribute__((vector_size(kLanes * sizeof(int32_t))));

inline Vector load(const float* from) {
    Vector v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

inline void store(float* to, Vector v) {
    std::memcpy(to, &v, sizeof v);
}

inline Vector spread(float value) {
    return Vector{} + value;
}

inline Vector maximum(Vector a, Vector b) {
    return a > b ? a : b;
}

inline Vector minimum(Vector a, Vector b) {
    return a < b ? a : b;
}

using Quarter = float __attribute__((vector_size(16)));

// Lanes added by halves, until four are left.
inline Quarter four_of(Vector v) {
#if defined(__AVX512F__)
    using Half = float __attribute__((vector_size(32)));
    Half halves[2];
    std::memcpy(halves, &v, sizeof v);
    const Half eight = halves[0] + halves[1];
#elif defined(__AVX__)
    const Vector eight = v;
#endif
#if defined(__AVX__)
    Quarter quarters[2];
    std::memcpy(quarters, &eight, sizeof eight);
    return quarters[0] + quarters[1];
#else
    return v;
#endif
}

// Lanes added in a fixed order: halves, then halves of those.
inline float sum(Vector v) {
    const Quarter four = four_of(v);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

// sum() of four vectors, their lanes added side by side.
inline void sums_of_four(const Vector* v, float* to) {
    const Quarter a = four_of(v[0]), b = four_of(v[1]), c = four_of(v[2]), d = four_of(v[3]);
#if defined(__clang__)
    const Quarter ab = __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
    const Quarter cd = __builtin_shufflevector(c, d, 0, 1, 4, 5) + __builtin_shufflevector(c, d, 2, 3, 6, 7);
    const Quarter sums =
        __builtin_shufflevector(ab, cd, 0, 2, 4, 6) + __builtin_shufflevector(ab, cd, 1, 3, 5, 7);
#else  // GCC 11 has only its own
    using Places = int32_t __attribute__((vector_size(16)));
    const Places low = {0, 1, 4, 5}, high = {2, 3, 6, 7}, even = {0, 2, 4, 6}, odd = {1, 3, 5, 7};
    const Quarter ab = __builtin_shuffle(a, b, low) + __builtin_shuffle(a, b, high);
    const Quarter cd = __builtin_shuffle(c, d, low) + __builtin_shuffle(c, d, high);
    const Quarter sums = __builtin_shuffle(ab, cd, even) + __builtin_shuffle(ab, cd, odd);
#endif
    std::memcpy(to, &sums, sizeof sums);
}

inline float largest(Vector v) {
    float lanes[kLanes];
    store(lanes, v);
    for (int64_t half = kLanes / 2; half > 0; half /= 2) {
        for (int64_t i = 0; i < half; ++i) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    }
    return lanes[0];
}

inline int64_t round_up(int64_t n) {
    return (n + kLanes - 1) / kLanes * kLanes;
}

// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, exp(r) by its Taylor polynomial of degree 7:
// within 2 units in the last place on [-87, 88]; x beyond is taken as the nearest end.
inline Vector exponential(Vector x) {
    x = minimum(maximum(x, spread(-87.0f)), spread(88.0f));
    // Adding and taking away 1.5 * 2^23 rounds to an integer.
    const Vector rounder = spread(12582912.0f);
    const Vector n = (x * 1.44269504088896341f + rounder) - rounder;
    // ln 2 in two parts; n times the first is exact.
    const Vector r = (x - n * 0.693145751953125f) - n * 1.42860682030941723212e-6f;
    Vector p = spread(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const Integers bits = (__builtin_convertvector(n, Integers) + 127) << 23;
    Vector power;
    std::memcpy(&power, &bits, sizeof power);
    return p * power;
}

// tanh(x) = 1 - 2 / (exp(2x) + 1): absolute error below 2e-7.
inline Vector tangent(Vector x) {
    return 1.0f - 2.0f / (exponential(x + x) + 1.0f);
}

inline Vector sigmoid(Vector x) {
    return 1.0f / (1.0f + exponential(-x));
}

// SiLU: x * sigmoid(x).
inline Vector silu(Vector x) {
    return x * sigmoid(x);
}

// GELU, tanh form, as x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)).
inline Vector gelu_tanh(Vector x) {
    return x * sigmoid(1.59576912160573071f * (x + 0.044715f * x * x * x));
}

// GELU as CLIP approximates it: x * sigmoid(1.702 x).
inline Vector gelu_quick(Vector x) {
    return x * sigmoid(1.702f * x);
}

// GELU itself: x * Phi(x). With a = |x| / sqrt 2 and t = 1 / (1 + 0.4 a), erfc(a) = exp(-a^2) * P(t), P a
// polynomial of degree 8 fitted on 0 <= a <= 8: absolute error of Phi below 2e-7.
inline Vector gelu_erf(Vector x) {
    const Vector a = maximum(x, -x) * 0.70710678118654752f;
    const Vector t = 1.0f / (1.0f + 0.4f * a);
    Vector p = spread(0.0326641403f);
    p = p * t - 0.0979307305f;
    p = p * t - 0.00509985804f;
    p = p * t + 0.191875962f;
    p = p * t + 0.00634899006f;
    p = p * t + 0.225485395f;
    p = p * t + 0.193425345f;
    p = p * t + 0.227671661f;
    p = p * t + 0.225559121f;
    const Vector tail = 0.5f * p * t * exponential(-a * a);  // Phi(-|x|)
    return x * (x < spread(0.0f) ? tail : 1.0f - tail);
}

}  // namespace hyt::simd
