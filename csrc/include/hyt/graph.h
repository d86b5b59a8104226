// A fixed graph: its nodes, built once, and the shared memory that all graphs of a session compute in.
#pragma once

#include <ggml-alloc.h>
#include <ggml-cpp.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "hyt/backend.h"

namespace hyt {

// Node storage of one graph. `nodes` bounds its tensors: operators, views and inputs.
struct Graph {
    explicit Graph(size_t nodes);

    ggml_context* context() const { return context_.get(); }
    ggml_cgraph* nodes() const { return graph_; }
    void expand(ggml_tensor* tensor) const { ggml_build_forward_expand(graph_, tensor); }

    // Once the graph is whole, built for `columns` of them: lets their number change from run to run. Columns
    // are the last dimension of `inputs` and of all that the graph computes, and all operators are ours,
    // which read it anew in each run.
    void vary_columns(int64_t columns, std::initializer_list<ggml_tensor*> inputs);
    // At most as many as it was built for.
    void set_columns(int64_t columns) const {
        for (int64_t* extent : columns_) *extent = columns;
    }

  private:
    void follow(ggml_tensor* tensor, int64_t columns);

    ggml_context_ptr context_;
    ggml_cgraph* graph_;
    std::vector<int64_t*> columns_;  // of its tensors, the extents that are the number of columns
};

// A tensor that is written before the graph runs; its memory is not reused inside the graph.
ggml_tensor* graph_input(const Graph& graph, ggml_type type, int64_t ne0, int64_t ne1 = 1);

// One buffer for the intermediate results of graphs that never run at the same time. reserve() every largest
// graph first; place() then only hands out addresses, so graphs placed earlier stay valid.
class Workspace {
  public:
    explicit Workspace(const Backend& backend);
    // Both throw Error when there is no memory, DeviceError when the device does not compute the graph.
    void reserve(const Graph& graph);
    void place(const Graph& graph);
    size_t bytes() const { return ggml_gallocr_get_buffer_size(allocator_.get(), 0); }

  private:
    const Backend& backend_;
    ggml_gallocr_ptr allocator_;
};

}  // namespace hyt
