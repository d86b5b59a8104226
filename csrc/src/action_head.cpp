// Loads the action head and builds its part of a graph.
#include "hyt/action_head.h"

#include "hyt/error.h"
#include "hyt/ops.h"
#include "hyt/product.h"

namespace hyt {
namespace {

constexpr size_t kNodesPerLayer = 12;
constexpr int64_t kLargest = int64_t{1} << 20;

ActionHeadParams read_params(const GgufFile& file) {
    const std::string p = "hyt.action.";
    ActionHeadParams a{};
    a.hidden = file.integer(p + "hidden", 1, kLargest);
    a.steps = file.integer(p + "steps", 1, 1024);
    a.dimensions = file.integer(p + "dimensions", 1, 1024);
    a.width = file.integer(p + "width", 1, kLargest);
    a.blocks = file.integer(p + "blocks", 0, 64);
    const double epsilon = file.number(p + "norm_epsilon");
    if (!(epsilon > 0) || epsilon > 1) {
        throw Error(file.path() + ": key " + p + "norm_epsilon", "above 0, at most 1",
                    std::to_string(epsilon));
    }
    a.norm_epsilon = static_cast<float>(epsilon);
    return a;
}

}  // namespace

ActionHead::ActionHead(const Backend& backend, const GgufFile& file)
    : backend_(backend), params_(read_params(file)), weights_(backend, file) {
    const int64_t hidden = params_.hidden, slots = params_.slots(), width = params_.width;
    slots_ = weights_.array("action.slots.weight", {hidden, slots}, hidden, slots);
    input_ = declare("action.input", params_.dimensions * hidden, width);
    for (int64_t i = 0; i < params_.blocks; ++i)
        blocks_.push_back(declare("action.blocks." + std::to_string(i), width, width));
    output_ = declare("action.output", width, params_.dimensions);
    weights_.load();
}

ActionHead::Layer ActionHead::declare(const std::string& name, int64_t columns, int64_t rows) {
    Layer layer{};
    layer.norm = weights_.vector({name + ".norm.weight"}, {columns});
    layer.norm_bias = weights_.vector({name + ".norm.bias"}, {columns});
    layer.weight = weights_.matrix(name + ".linear.weight", columns, rows);
    layer.bias = weights_.vector({name + ".linear.bias"}, {rows});
    return layer;
}

size_t ActionHead::node_count() const {
    return (2 + blocks_.size()) * kNodesPerLayer;
}

ggml_tensor* ActionHead::projected(const Graph& graph, const Layer& layer, ggml_tensor* x) const {
    ggml_context* c = graph.context();
    x = ggml_add(c, ggml_mul(c, ggml_norm(c, x, params_.norm_epsilon), layer.norm), layer.norm_bias);
    return ops::matmul(c, backend_, layer.weight, x);
}

ggml_tensor* ActionHead::build(const Graph& graph, ggml_tensor* states) const {
    ggml_context* c = graph.context();
    ggml_tensor* x = ggml_reshape_2d(c, states, params_.dimensions * params_.hidden, params_.steps);
    ggml_tensor* h =
        ops::activated_sum(c, backend_, Activation::gelu_tanh, projected(graph, input_, x), input_.bias);
    for (const Layer& block : blocks_)
        h = ggml_add(
            c, h,
            ops::activated_sum(c, backend_, Activation::gelu_tanh, projected(graph, block, h), block.bias));
    return ggml_add(c, projected(graph, output_, h), output_.bias);
}

}  // namespace hyt
