// The product that is activated in pieces says what a plain one in double says, whatever the shape, the
// number of threads and where pieces end.
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "hyt/graph.h"
#include "hyt/product.h"
#include "hyt/strips.h"

namespace {

using hyt::Activation;
using hyt::kBlock;

constexpr double kSumError = 2e-3;  // of the largest value: float32 sums, and scales that are float16

double activated(Activation kind, double x) {
    switch (kind) {
        case Activation::gelu_erf:
            return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
        case Activation::gelu_quick:
            return x / (1 + std::exp(-1.702 * x));
        case Activation::silu:
            return x / (1 + std::exp(-x));
        case Activation::gelu_tanh:
            break;
    }
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

// Columns of `values` each as tiles hold them, and how far apart their numbers are: (values, columns) both.
struct Columns {
    std::vector<double> values, steps;
};

Columns read(const uint8_t* data, int64_t values, int64_t columns) {
    const int64_t tile = hyt::strip_kernels().front().tile;
    Columns out{std::vector<double>(static_cast<size_t>(values * columns)), {}};
    out.steps = out.values;
    for (int64_t i = 0; i < columns; ++i) {
        const hyt::TilePlace place = hyt::tile_of(i, columns, tile);
        for (int64_t k = 0; k < values; ++k) {
            const uint8_t* block = data + hyt::activations_size(values, place.first) +
                                   hyt::activations_size(k / kBlock * kBlock, place.width);
            const int64_t at = i - place.first;
            float scale;
            std::memcpy(&scale, block + place.width * kBlock + at * 4, sizeof scale);
            out.steps[static_cast<size_t>(i * values + k)] = scale;
            out.values[static_cast<size_t>(i * values + k)] =
                scale * static_cast<int8_t>(block[at * kBlock + k % kBlock]);
        }
    }
    return out;
}

void check_shape(Activation kind, bool gated, int64_t inputs, int64_t rows, int64_t columns, int threads) {
    std::mt19937 random(static_cast<unsigned>(inputs + rows + columns + threads));
    std::normal_distribution<float> normal;
    const int64_t blocks = inputs / kBlock, block_bytes = kBlock / 2 + 2;
    std::vector<uint8_t> q4_0(static_cast<size_t>(rows * blocks * block_bytes));
    std::vector<double> weights(static_cast<size_t>(rows * inputs));
    for (int64_t b = 0; b < rows * blocks; ++b) {
        uint8_t* block = q4_0.data() + b * block_bytes;
        const ggml_fp16_t scale = ggml_fp32_to_fp16(0.02f + 0.01f * std::abs(normal(random)));
        std::memcpy(block, &scale, sizeof scale);
        for (int64_t i = 0; i < kBlock / 2; ++i) {
            block[2 + i] = static_cast<uint8_t>(random());
            double* row = weights.data() + b * kBlock;
            row[i] = static_cast<double>(ggml_fp16_to_fp32(scale)) * ((block[2 + i] & 15) - 8);
            row[i + kBlock / 2] = static_cast<double>(ggml_fp16_to_fp32(scale)) * ((block[2 + i] >> 4) - 8);
        }
    }
    hyt::Backend backend(threads, hyt::Cuts{});
    hyt::Graph graph(16);
    ggml_context* c = graph.context();
    // Of the right number of rows, as bytes that strips fill.
    ggml_tensor* matrix = hyt::graph_input(graph, GGML_TYPE_Q4_0, inputs, rows);
    ggml_tensor* x = hyt::graph_input(graph, GGML_TYPE_F32, inputs, columns);
    ggml_tensor* bias = gated ? nullptr : hyt::graph_input(graph, GGML_TYPE_F32, rows);
    ggml_tensor* fed = hyt::ops::quantised(c, *backend.strips(), x);
    ggml_set_output(fed);
    ggml_tensor* out = hyt::ops::activated_product(c, backend, kind, gated, matrix, fed, bias);
    ggml_set_output(out);
    graph.expand(out);
    hyt::Workspace workspace(backend);
    workspace.place(graph);
    hyt::pack_strips(q4_0.data(), inputs, 0, rows, static_cast<uint8_t*>(matrix->data));
    std::generate_n(static_cast<float*>(x->data), inputs * columns, [&] { return normal(random); });
    if (bias) std::generate_n(static_cast<float*>(bias->data), rows, [&] { return normal(random); });
    backend.compute(graph.nodes(), "test");

    const int64_t values = gated ? rows / 2 : rows;
    const Columns in = read(static_cast<const uint8_t*>(fed->data), inputs, columns);
    const Columns got = read(static_cast<const uint8_t*>(out->data), values, columns);
    const auto sum = [&](int64_t row, int64_t column) {
        double total = bias ? static_cast<double>(static_cast<const float*>(bias->data)[row]) : 0.0;
        for (int64_t k = 0; k < inputs; ++k)
            total += weights[static_cast<size_t>(row * inputs + k)] *
                     in.values[static_cast<size_t>(column * inputs + k)];
        return total;
    };
    std::vector<double> expected(got.values.size());
    double largest = 0;
    for (int64_t i = 0; i < columns; ++i) {
        for (int64_t k = 0; k < values; ++k) {
            const double v = activated(kind, sum(k, i)) * (gated ? sum(values + k, i) : 1.0);
            expected[static_cast<size_t>(i * values + k)] = v;
            largest = std::max(largest, std::abs(v));
        }
    }
    size_t wrong = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        // Rounded to the nearest of the numbers that the block can hold.
        if (!(std::abs(got.values[i] - expected[i]) <= 0.51 * got.steps[i] + kSumError * largest)) ++wrong;
    }
    CHECK(wrong == 0);
}

}  // namespace

int main() {
    if (hyt::strip_kernels().empty()) return 0;
    for (const Activation kind :
         {Activation::gelu_tanh, Activation::gelu_erf, Activation::gelu_quick, Activation::silu}) {
        for (const int threads : {1, 2, 3}) {
            check_shape(kind, true, 64, 2 * 32, 9, threads);    // fewer blocks than threads
            check_shape(kind, true, 96, 2 * 416, 23, threads);  // pieces that are not whole
            check_shape(kind, false, 64, 608, 1, threads);      // a single column
            check_shape(kind, false, 1088, 544, 37, threads);   // more blocks than a pass over columns has
        }
    }
    return hyt::test::failures;
}
