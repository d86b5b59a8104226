// Builds graph storage and places graphs in the shared workspace.
#include "hyt/graph.h"

#include <string>

#include "hyt/error.h"

namespace hyt {

Graph::Graph(size_t nodes) {
    // Views and leaves take a tensor each as well as operators do, and each operator has at most a few of
    // them.
    const size_t bytes = 2 * nodes * ggml_tensor_overhead() + ggml_graph_overhead_custom(nodes, false);
    context_.reset(ggml_init({bytes, nullptr, true}));
    graph_ = ggml_new_graph_custom(context_.get(), nodes, false);
}

void Graph::vary_columns(int64_t columns, std::initializer_list<ggml_tensor*> inputs) {
    if (columns == 1) return;
    for (ggml_tensor* input : inputs)
        if (input) follow(input, columns);
    for (int i = 0; i < ggml_graph_n_nodes(graph_); ++i) {
        ggml_tensor* node = ggml_graph_node(graph_, i);
        // What was there before, weights and the cache, has views without columns; scratch is made of
        // nothing.
        const bool from_before = node->view_src && node->view_src->op == GGML_OP_NONE;
        if (!from_before && node->src[0]) follow(node, columns);
    }
}

void Graph::follow(ggml_tensor* tensor, int64_t columns) {
    int64_t& extent = tensor->ne[ggml_n_dims(tensor) - 1];
    if (extent != columns) {
        throw Error(std::string("graph: ") + tensor->name, std::to_string(columns) + " columns",
                    std::to_string(extent));
    }
    columns_.push_back(&extent);
}

ggml_tensor* graph_input(const Graph& graph, ggml_type type, int64_t ne0, int64_t ne1) {
    ggml_tensor* tensor = ggml_new_tensor_2d(graph.context(), type, ne0, ne1);
    ggml_set_input(tensor);
    return tensor;
}

Workspace::Workspace(const Backend& backend)
    : backend_(backend), allocator_(ggml_gallocr_new(backend.buffer_type())) {}

void Workspace::reserve(const Graph& graph) {
    backend_.check(graph.nodes());
    const bool there = ggml_gallocr_reserve(allocator_.get(), graph.nodes());
    backend_.check_memory(there, "workspace", "memory for a graph");
}

void Workspace::place(const Graph& graph) {
    backend_.check(graph.nodes());
    const size_t before = bytes();
    const bool there = ggml_gallocr_alloc_graph(allocator_.get(), graph.nodes());
    backend_.check_memory(there, "workspace", "memory for a graph");
    // Growing would move the buffer under the graphs placed earlier.
    if (before != 0 && bytes() != before)
        throw Error("workspace", "a graph within the reserved bytes", "a larger one");
}

}  // namespace hyt
