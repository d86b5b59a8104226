// Computes a graph operator by operator: to show what goes into the weight matrices, or how long each takes.
#include <chrono>

#include "hyt/backend.h"
#include "hyt/error.h"
#include "hyt/exact_product.h"
#include "hyt/weights.h"
#include "ops.h"

namespace hyt {
namespace {

bool is_weight(const ggml_tensor* tensor) {
    return tensor->buffer &&
           ggml_backend_buffer_get_usage(tensor->buffer) == GGML_BACKEND_BUFFER_USAGE_WEIGHTS;
}

}  // namespace

// Runs one operator after the other; around(node, run) calls run().
void Backend::compute_apart(ggml_cgraph* graph, const Around& around) {
    const ggml_init_params params{ggml_graph_overhead_custom(1, false), nullptr, true};
    const ggml_context_ptr context(ggml_init(params));
    ggml_cgraph* single = ggml_new_graph_custom(context.get(), 1, false);
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
        ggml_tensor* node = ggml_graph_node(graph, i);
        Call call{};
        if (call_of(node, call) && !call.kernel) continue;  // a view: no work
        around(node, [&] {
            if (call.kernel && cuts_.own_threads) {
                nodes_.assign(1, node);
                return team_.run(run_step, this, 1);
            }
            ggml_graph_clear(single);
            ggml_graph_add_node(single, node);
            run_by_ggml(single);
        });
    }
}

void Backend::compute_watched(ggml_cgraph* graph) {
    compute_apart(graph, [&](const ggml_tensor* node, const std::function<void()>& run) {
        if ((node->op == GGML_OP_MUL_MAT || ops::is_exact_product(node)) && is_weight(node->src[0])) {
            const ggml_tensor* input = node->src[1];
            const bool plain =
                input->ne[2] * input->ne[3] == 1 ? input->nb[0] == sizeof(float) : ggml_is_contiguous(input);
            if (input->type != GGML_TYPE_F32 || !plain) {
                throw Error(std::string("input of ") + node->src[0]->name, "columns of float32",
                            ggml_type_name(input->type));
            }
            watcher_(node->src[0]->name, input);
        }
        if (node->op == GGML_OP_CUSTOM && node->src[0] && in_strips(node->src[0])) {
            throw Error("watched products", "a session without own kernels",
                        "INT4 products of its own kernels");
        }
        run();
    });
}

void Backend::compute_profiled(ggml_cgraph* graph, const std::string& phase) {
    using Clock = std::chrono::steady_clock;
    compute_apart(graph, [&](const ggml_tensor* node, const std::function<void()>& run) {
        const Clock::time_point start = Clock::now();
        run();
        const std::string name = node->op == GGML_OP_CUSTOM ? node->name : ggml_op_desc(node);
        seconds_[phase + ": " + name] += std::chrono::duration<double>(Clock::now() - start).count();
    });
}

}  // namespace hyt
