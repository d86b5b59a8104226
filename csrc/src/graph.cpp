// Builds graph storage and places graphs in the shared workspace.
#include "hyt/graph.h"

#include "hyt/error.h"

namespace hyt {

Graph::Graph(size_t nodes) {
    // Views and leaves take a tensor each as well as operators do, and each operator has at most a few of
    // them.
    const size_t bytes = 2 * nodes * ggml_tensor_overhead() + ggml_graph_overhead_custom(nodes, false);
    context_.reset(ggml_init({bytes, nullptr, true}));
    graph_ = ggml_new_graph_custom(context_.get(), nodes, false);
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
