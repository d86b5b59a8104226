// The W4A8 kernels against dequantised weights and activations multiplied in double, on odd shapes.
#include "hyt/strips.h"

#include <cmath>
#include <cstring>
#include <random>

#include "check.h"

namespace {

using hyt::kBlock;
using hyt::StripKernels;

// float16 of a power of two or a small multiple of one, so that the test needs no rounding of its own.
uint16_t half(int exponent, int tenth_bits) {
    return static_cast<uint16_t>((exponent + 15) << 10 | tenth_bits);
}
double half_value(uint16_t bits) {
    return std::ldexp(1 + (bits & 1023) / 1024.0, (bits >> 10) - 15);
}

struct Case {
    int64_t columns, rows, count;
};

struct Operands {
    Case shape;
    std::vector<uint8_t> q4_0;
    std::vector<double> weights;  // (columns, rows)
    std::vector<float> inputs;    // (columns, count)
    std::vector<float> bias;

    explicit Operands(const Case& c) : shape(c), bias(static_cast<size_t>(c.rows)) {
        std::mt19937 random(static_cast<unsigned>(c.columns * 31 + c.rows * 7 + c.count));
        const int64_t blocks = c.columns / kBlock;
        q4_0.resize(static_cast<size_t>(blocks * c.rows * 18));
        weights.resize(static_cast<size_t>(c.columns * c.rows));
        for (int64_t row = 0; row < c.rows; ++row) {
            for (int64_t block = 0; block < blocks; ++block) {
                uint8_t* at = q4_0.data() + (row * blocks + block) * 18;
                const uint16_t scale =
                    half(-6 - static_cast<int>(random() % 3), static_cast<int>(random() % 1024));
                std::memcpy(at, &scale, 2);
                double* out = weights.data() + row * c.columns + block * kBlock;
                for (int i = 0; i < 16; ++i) {
                    // Extremes are common: the sums that come nearest to overflow must not.
                    const int low = random() % 4 ? static_cast<int>(random() % 16) : 15;
                    const int high = random() % 4 ? static_cast<int>(random() % 16) : 15;
                    at[2 + i] = static_cast<uint8_t>(low | high << 4);
                    out[i] = half_value(scale) * (low - 8);
                    out[16 + i] = half_value(scale) * (high - 8);
                }
            }
        }
        inputs.resize(static_cast<size_t>(c.columns * c.count));
        std::normal_distribution<float> normal;
        for (float& x : inputs) x = random() % 3 ? normal(random) : 4.0f;
        for (float& b : bias) b = normal(random);
    }
};

// Activations as the kernels quantise them, read back by the layout that strips.h describes.
std::vector<double> dequantised(const std::vector<uint8_t>& tiles, const Case& c, int64_t tile) {
    const int64_t blocks = c.columns / kBlock;
    std::vector<double> out(static_cast<size_t>(c.columns * c.count));
    for (int64_t j = 0; j < c.count; ++j) {
        const hyt::TilePlace place = hyt::tile_of(j, c.count, tile);
        const int64_t at = j - place.first;
        CHECK(at >= 0 && at < place.width && place.width <= tile);
        for (int64_t block = 0; block < blocks; ++block) {
            const uint8_t* base = tiles.data() + hyt::activations_size(c.columns, place.first) +
                                  block * place.width * (kBlock + 8);
            float scale;
            int32_t offset, sum = 0;
            std::memcpy(&scale, base + place.width * kBlock + at * 4, 4);
            std::memcpy(&offset, base + place.width * (kBlock + 4) + at * 4, 4);
            for (int64_t i = 0; i < kBlock; ++i) {
                const auto value = static_cast<int8_t>(base[at * kBlock + i]);
                sum += value;
                out[static_cast<size_t>(j * c.columns + block * kBlock + i)] =
                    static_cast<double>(value) * scale;
            }
            CHECK(offset == -8 * sum);
        }
    }
    return out;
}

std::vector<uint8_t> quantised(const StripKernels& kernels, const Operands& o) {
    const Case& c = o.shape;
    std::vector<uint8_t> tiles(hyt::activations_size(c.columns, c.count));
    for (int64_t j = 0; j < c.count; ++j) {
        const hyt::TilePlace place = hyt::tile_of(j, c.count, kernels.tile);
        kernels.quantize(o.inputs.data() + j * c.columns, c.columns / kBlock, place.width, j - place.first,
                         tiles.data() + hyt::activations_size(c.columns, place.first));
    }
    return tiles;
}

void check_case(const StripKernels& kernels, const Case& c) {
    const Operands o(c);
    std::vector<uint8_t> strips(hyt::strips_size(c.columns, c.rows));
    hyt::pack_strips(o.q4_0.data(), c.columns, 0, c.rows, strips.data());
    const std::vector<uint8_t> tiles = quantised(kernels, o);
    const std::vector<double> inputs = dequantised(tiles, c, kernels.tile);
    for (size_t i = 0; i < inputs.size(); ++i) {
        float largest = 0;
        for (size_t k = i / kBlock * kBlock; k < i / kBlock * kBlock + kBlock; ++k)
            largest = std::fmax(largest, std::fabs(o.inputs[k]));
        CHECK(std::fabs(inputs[i] - o.inputs[i]) <= largest * (0.5 / 127 + 1e-3));
    }
    // One float more than the output: rows that the matrix does not have must not be written.
    std::vector<float> out(static_cast<size_t>(c.rows * c.count) + 1, 1e30f), split = out;
    const hyt::StripProduct product{strips.data(),      tiles.data(), o.bias.data(), out.data(),
                                    c.columns / kBlock, c.rows,       c.count,       c.rows};
    const int64_t count = hyt::strip_count(c.rows);
    kernels.multiply(product, 0, count);
    CHECK(out.back() == 1e30f);
    double worst = 0;
    for (int64_t j = 0; j < c.count; ++j) {
        for (int64_t row = 0; row < c.rows; ++row) {
            double exact = o.bias[static_cast<size_t>(row)], size = std::fabs(exact);
            for (int64_t k = 0; k < c.columns; ++k) {
                const double term = o.weights[static_cast<size_t>(row * c.columns + k)] *
                                    inputs[static_cast<size_t>(j * c.columns + k)];
                exact += term;
                size += std::fabs(term);
            }
            worst = std::fmax(worst, std::fabs(exact - out[static_cast<size_t>(j * c.rows + row)]) / size);
        }
    }
    CHECK(worst < 2e-6);
    // The same bits however the strips are shared out.
    hyt::StripProduct part = product;
    part.out = split.data();
    for (int64_t strip = 0; strip < count; ++strip) kernels.multiply(part, strip, strip + 1);
    CHECK(split == out);
    // Nor does it matter when weights are asked for, or in how many passes they are read.
    for (const bool ahead : {false, true}) {
        part.read_ahead = ahead;
        part.one_pass = !ahead;
        kernels.multiply(part, 0, count);
        CHECK(split == out);
    }
}

}  // namespace

int main() {
    if (hyt::strip_kernels().empty()) std::printf("no kernels for this CPU\n");
    for (const StripKernels& kernels : hyt::strip_kernels()) {
        std::printf("%s\n", kernels.name);
        for (const Case& c : {Case{32, 1, 1}, Case{32, 16, 1}, Case{64, 17, 2}, Case{96, 33, 3},
                              Case{256, 48, 5}, Case{32, 40, 13}, Case{1056, 31, 7}, Case{1056, 47, 2},
                              Case{2080, 50, 12}, Case{2080, 50, 29}, Case{640, 300, 4}}) {
            check_case(kernels, c);
        }
    }
    return hyt::test::failures;
}
