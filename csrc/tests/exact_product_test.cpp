// Products with float32 activations: of every weight type, against sums in double of the dequantised weights.
#include "hyt/exact_product.h"

#include <cmath>
#include <cstdio>
#include <random>

#include "check.h"
#include "hyt/graph.h"
#include "hyt/quantize.h"

namespace {

// Of the sum of the terms' sizes: float32 rounding over a few hundred terms.
constexpr double kBound = 1e-6;

struct Case {
    int64_t rows, count, blocks, threads;
};

std::vector<float> random_values(int64_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 1.0f);
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = normal(random);
    return values;
}

// (count, rows) of the graph's product.
std::vector<float> multiplied(const std::string& type, const std::vector<uint8_t>& bytes, const Case& c,
                              int64_t columns, const std::vector<float>& inputs) {
    hyt::Backend backend(static_cast<int>(c.threads), {});
    const hyt::Graph graph(8);
    ggml_type found = GGML_TYPE_COUNT;
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const auto candidate = static_cast<ggml_type>(i);
        std::string name = ggml_type_name(candidate) ? ggml_type_name(candidate) : "";
        for (char& letter : name) letter = static_cast<char>(std::tolower(letter));
        if (name == type) found = candidate;
    }
    ggml_tensor* matrix = hyt::graph_input(graph, found, columns, c.rows);
    ggml_tensor* x = hyt::graph_input(graph, GGML_TYPE_F32, columns, c.count);
    ggml_tensor* out = hyt::ops::exact_product(graph.context(), matrix, x);
    CHECK(hyt::ops::is_exact_product(out) && !hyt::ops::is_exact_product(x));
    ggml_set_output(out);
    graph.expand(out);
    hyt::Workspace workspace(backend);
    workspace.place(graph);
    ggml_backend_tensor_set(matrix, bytes.data(), 0, bytes.size());
    ggml_backend_tensor_set(x, inputs.data(), 0, inputs.size() * sizeof(float));
    backend.compute(graph.nodes(), "test");
    std::vector<float> values(static_cast<size_t>(c.rows * c.count));
    ggml_backend_tensor_get(out, values.data(), 0, values.size() * sizeof(float));
    return values;
}

void check_case(const std::string& type, const Case& c) {
    const int64_t block = std::max<int64_t>(hyt::quantization_block(type), 1);
    const int64_t columns = block == 1 ? 19 * c.blocks : block * c.blocks;
    const std::vector<float> values = random_values(c.rows * columns, 1),
                             inputs = random_values(c.count * columns, 2);
    const std::vector<float> importance(static_cast<size_t>(columns), 1.0f);
    std::vector<uint8_t> bytes(hyt::quantized_size(type, c.rows, columns));
    hyt::quantize(type, values.data(), c.rows, columns, importance.data(), bytes.data());
    std::vector<float> weights(values.size());
    hyt::dequantize(type, bytes.data(), c.rows, columns, weights.data());
    const std::vector<float> out = multiplied(type, bytes, c, columns, inputs);
    double worst = 0;
    for (int64_t j = 0; j < c.count; ++j) {
        for (int64_t row = 0; row < c.rows; ++row) {
            double exact = 0, size = 0;
            for (int64_t k = 0; k < columns; ++k) {
                const double term = static_cast<double>(weights[static_cast<size_t>(row * columns + k)]) *
                                    inputs[static_cast<size_t>(j * columns + k)];
                exact += term;
                size += std::fabs(term);
            }
            worst = std::fmax(worst, std::fabs(exact - out[static_cast<size_t>(j * c.rows + row)]) / size);
        }
    }
    if (!(worst < kBound))
        std::printf("%s (%d columns): %g\n", type.c_str(), static_cast<int>(columns), worst);
    CHECK(worst < kBound);
    // The same bits for a column alone, and on another number of threads.
    Case alone = c;
    alone.count = 1;
    alone.threads = 3 - c.threads;
    const std::vector<float> first(inputs.begin(), inputs.begin() + columns);
    const std::vector<float> one = multiplied(type, bytes, alone, columns, first);
    CHECK(std::equal(one.begin(), one.end(), out.begin()));
}

}  // namespace

int main() {
    for (const std::string& type : hyt::quantization_types()) {
        if (type == "f32") continue;  // ggml's to multiply
        for (const Case& c : {Case{1, 1, 1, 1}, Case{7, 2, 2, 1}, Case{8, 5, 3, 2}, Case{33, 3, 5, 2}})
            check_case(type, c);
    }
    return hyt::test::failures;
}
