// The vector functions against double precision, densely over their whole range.
#include "../src/simd.h"

#include <cmath>
#include <random>

#include "check.h"

namespace {

using hyt::simd::kLanes;
using hyt::simd::Vector;

// Largest error of `function` against `exact`, divided by scale(exact value), over [low, high].
template <typename Function, typename Exact, typename Scale>
double worst(float low, float high, const Function& function, const Exact& exact, const Scale& scale) {
    constexpr int kPoints = 1 << 20;
    double largest = 0;
    for (int i = 0; i + kLanes <= kPoints; i += static_cast<int>(kLanes)) {
        float x[kLanes], y[kLanes];
        for (int l = 0; l < kLanes; ++l) x[l] = low + (high - low) * static_cast<float>(i + l) / kPoints;
        hyt::simd::store(y, function(hyt::simd::load(x)));
        for (int l = 0; l < kLanes; ++l) {
            const double truth = exact(static_cast<double>(x[l]));
            largest = std::fmax(largest, std::fabs(y[l] - truth) / scale(truth));
        }
    }
    return largest;
}

double relative(double value) {
    return std::fabs(value) + 1e-300;
}
double absolute(double) {
    return 1.0;
}
// GELU falls to zero for large negative x, where only its absolute error matters.
double mixed(double value) {
    return std::fmax(std::fabs(value), 1e-3);
}

double exact_gelu(double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

double true_gelu(double x) {
    return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}

// Whether four sums at once are the bits of sum(), for lanes of many sizes and signs.
bool sums_are_alike() {
    std::minstd_rand random(1);
    for (int turn = 0; turn < 1000; ++turn) {
        Vector v[4];
        float lanes[kLanes], four[4];
        for (Vector& one : v) {
            for (float& lane : lanes) {
                const int power = static_cast<int>(random() % 40) - 20;
                lane = std::ldexp(static_cast<float>(random()) - 1073741824.0f, power);
            }
            one = hyt::simd::load(lanes);
        }
        hyt::simd::sums_of_four(v, four);
        for (int i = 0; i < 4; ++i) {
            if (four[i] != hyt::simd::sum(v[i])) return false;
        }
    }
    return true;
}

}  // namespace

int main() {
    CHECK(sums_are_alike());
    CHECK(worst(-87, 88, hyt::simd::exponential, [](double x) { return std::exp(x); }, relative) < 2.5e-7);
    CHECK(worst(-1, 1, hyt::simd::exponential, [](double x) { return std::exp(x); }, relative) < 1.5e-7);
    CHECK(worst(-30, 30, hyt::simd::tangent, [](double x) { return std::tanh(x); }, absolute) < 2e-7);
    CHECK(worst(-12, 12, hyt::simd::gelu_tanh, exact_gelu, mixed) < 2e-6);
    CHECK(worst(-12, 12, hyt::simd::gelu_erf, true_gelu, mixed) < 3e-6);
    CHECK(worst(
              -12, 12, hyt::simd::gelu_quick, [](double x) { return x / (1 + std::exp(-1.702 * x)); },
              mixed) < 2e-6);
    CHECK(worst(-12, 12, hyt::simd::silu, [](double x) { return x / (1 + std::exp(-x)); }, mixed) < 2e-6);
    CHECK(worst(-1e4f, 1e4f, hyt::simd::gelu_tanh, exact_gelu, mixed) < 2e-6);
    return hyt::test::failures;
}
