// Sets up ggml's CPU backend with a threadpool of its own, so that a graph starts no threads and allocates
// nothing; or the backend of another device.
#include "hyt/backend.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "hyt/error.h"
#include "hyt/system.h"
#include "ops.h"

namespace hyt {
namespace {

// A graph's threads wait for each other at every operator, so a core that something else uses stalls them
// all: one is left to the cameras, the link and the control loop.
constexpr int kCoresLeftByDefault = 1;
constexpr int kMostThreadsByDefault = 8;

int checked_threads(int threads) {
    if (threads < 0 || threads > GGML_MAX_N_THREADS) {
        throw Error("threads", "0 to " + std::to_string(GGML_MAX_N_THREADS), std::to_string(threads));
    }
    return threads > 0 ? threads
                       : std::clamp(physical_cores() - kCoresLeftByDefault, 1, kMostThreadsByDefault);
}

std::optional<StripKernels> chosen_kernels(const Cuts& cuts, Activations activations) {
    if (!cuts.strips || activations == Activations::float32 || strip_kernels().empty()) return {};
    StripKernels chosen = strip_kernels().front();
    chosen.read_ahead = cuts.read_ahead;
    chosen.one_pass = cuts.one_pass;
    return chosen;
}

}  // namespace

Backend::Backend(int threads, const Cuts& cuts, Activations activations, ggml_backend_dev_t foreign)
    : foreign_(foreign),
      threads_(checked_threads(threads)),
      cuts_(foreign ? plain_path(cuts) : cuts),
      activations_(activations),
      strips_(chosen_kernels(cuts_, activations)),
      team_(cuts_.own_threads ? threads_ : 1) {
    if (foreign) {
        backend_ = start_device(foreign, threads_);
    } else {
        start_cpu();
    }
}

void Backend::start_cpu() {
    ggml_threadpool_params params = ggml_threadpool_params_default(threads_);
    pool_.reset(ggml_threadpool_new(&params));
    backend_.reset(ggml_backend_cpu_init());
    if (!pool_ || !backend_) throw Error("CPU backend", "ggml to start it", "a failure");
    ggml_backend_cpu_set_n_threads(backend_.get(), threads_);
    ggml_backend_cpu_set_threadpool(backend_.get(), pool_.get());

    ggml_backend_dev_t device = ggml_backend_get_device(backend_.get());
    const auto extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(ggml_backend_reg_get_proc_address(
        ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts"));
    for (ggml_backend_buffer_type_t* type = extra ? extra(device) : nullptr; type && *type; ++type) {
        // GCC 12 compiles ggml's AMX products so that they are illegal instructions: it takes the first eight
        // bytes of the tiles' configuration for all of it, and drops what is written to the rest.
        if (std::strcmp(ggml_backend_buft_name(*type), "AMX") != 0) extra_types_.push_back(*type);
    }
}

ggml_backend_buffer_type_t Backend::matrix_buffer_type(const ggml_tensor* matrix) const {
    if (activations_ == Activations::float32) return buffer_type();
    const ggml_init_params params{4 * ggml_tensor_overhead(), nullptr, true};
    const ggml_context_ptr context(ggml_init(params));
    ggml_tensor* weight = ggml_new_tensor_2d(context.get(), matrix->type, matrix->ne[0], matrix->ne[1]);
    ggml_tensor* columns = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, matrix->ne[0], 4);
    ggml_tensor* product = ggml_mul_mat(context.get(), weight, columns);
    for (ggml_backend_buffer_type_t type : extra_types_) {
        // An empty buffer is enough for the device to say whether it multiplies from this type.
        const ggml_backend_buffer_ptr buffer(ggml_backend_buft_alloc_buffer(type, 0));
        weight->buffer = buffer.get();
        if (ggml_backend_dev_supports_op(ggml_backend_get_device(backend_.get()), product)) return type;
    }
    return buffer_type();
}

ggml_type Backend::matrix_type(ggml_type type, int64_t columns, int64_t rows, bool multiplied,
                               bool looked_up) const {
    if (!foreign_) return type;
    const bool whole = multiplied && activations_ == Activations::float32;
    const bool can = (!multiplied || multiplies(foreign_, type, columns, rows)) &&
                     (!looked_up || looks_up(foreign_, type, columns, rows));
    return can && !whole ? type : GGML_TYPE_F32;
}

void Backend::check_memory(bool there, const std::string& subject, const std::string& expected) const {
    if (there) return;
    if (foreign_) throw DeviceError("device " + name() + ": " + subject, expected, "an allocation failure");
    throw Error(subject, expected, "an allocation failure");
}

std::string Backend::name() const {
    if (foreign_) {
        const bool whole = activations_ == Activations::float32;
        return described(foreign_) + (whole ? ", float32 activations" : "");
    }
    const std::string device = ggml_backend_name(backend_.get());
    if (activations_ == Activations::float32) return device + ", float32 activations";
    if (!cuts_.strips) return device;
    return device + (strips_ ? std::string(", INT4 by ") + strips_->name : ", INT4 by ggml");
}

// Takes the nodes that have work, if all of them are ours.
bool Backend::gather(ggml_cgraph* graph) {
    nodes_.clear();
    const int count = ggml_graph_n_nodes(graph);
    nodes_.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
        ggml_tensor* node = ggml_graph_node(graph, i);
        Call call{};
        if (!call_of(node, call)) return false;
        if (call.kernel) nodes_.push_back(node);
    }
    return true;
}

void Backend::run_step(void* self, size_t index, int thread, int threads) {
    auto* backend = static_cast<Backend*>(self);
    ggml_tensor* node = backend->nodes_[index];
    Call call{};
    call_of(node, call);
    call.kernel(node, thread, threads, call.user);
}

void Backend::compute(ggml_cgraph* graph, const char* phase) {
    if (watcher_) return compute_watched(graph);
    if (profiling_) return compute_profiled(graph, phase);
    if (cuts_.own_threads && !shared_with_ggml_ && gather(graph))
        return team_.run(run_step, this, nodes_.size());
    // OpenMP's threads go on looking for work for milliseconds, on the cores that ours would need: where one
    // graph has to be ggml's, all are.
    shared_with_ggml_ = threads_ > 1;
    run_by_ggml(graph);
}

void Backend::run_by_ggml(ggml_cgraph* graph) {
    ggml_status status = GGML_STATUS_SUCCESS;
    try {
        status = ggml_backend_graph_compute(backend_.get(), graph);
    } catch (const std::exception& problem) {  // ggml's Vulkan throws what the driver says
        throw DeviceError("device " + name(), "to compute a graph", problem.what());
    }
    if (status != GGML_STATUS_SUCCESS) throw Error("graph", "success", ggml_status_to_string(status));
}

void Backend::profile(bool on) {
    profiling_ = on;
    seconds_.clear();
}

}  // namespace hyt
