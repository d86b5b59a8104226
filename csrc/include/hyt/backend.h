// The ggml backend that computes: its device, its threads, its weight buffer types and what runs on it.
#pragma once

#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml-cpu.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hyt/cuts.h"
#include "hyt/device.h"
#include "hyt/strips.h"
#include "hyt/team.h"

namespace hyt {

struct ThreadpoolDeleter {
    void operator()(ggml_threadpool* pool) const { ggml_threadpool_free(pool); }
};

// Is told of every product with a weight matrix: the matrix' name (of stacked ones the first), and its input,
// float32 (columns, rows), just before the product is computed. Rows lie evenly apart, nb[1] bytes.
using Watcher = std::function<void(const std::string& matrix, const ggml_tensor* input)>;

// What weights of a quantised type are multiplied with: int8 in blocks of their own scale, or float32 as it
// is.
enum class Activations { int8, float32 };

class Backend {
  public:
    // The CPU with `threads` threads (0: all physical cores but one, at most 8), kept for the life of the
    // backend. Where a cut is left out, graphs are composed from ggml's operators.
    //
    // With a `foreign` device, which must outlive the backend, all graphs are, and all tensors lie in its
    // memory: only ggml_backend_tensor_set() and _get() reach them from here.
    Backend(int threads, const Cuts& cuts, Activations activations = Activations::int8,
            ggml_backend_dev_t foreign = nullptr);

    int threads() const { return threads_; }
    const Cuts& cuts() const { return cuts_; }
    Activations activations() const { return activations_; }
    // Our kernels for INT4 matrices; null where they are left out, on a CPU that has no instructions for them
    // and with float32 activations.
    const StripKernels* strips() const { return strips_ ? &*strips_ : nullptr; }
    // The device, and on the CPU the instruction set of our INT4 kernels or that there are none.
    std::string name() const;
    // ggml's name of it, "CPU" or "CUDA0".
    std::string device() const { return ggml_backend_dev_name(ggml_backend_get_device(backend_.get())); }
    bool foreign() const { return foreign_ != nullptr; }
    ggml_backend_buffer_type_t buffer_type() const {
        return ggml_backend_get_default_buffer_type(backend_.get());
    }

    // The fastest buffer type in which `matrix` (not allocated yet) can be multiplied with float32 columns:
    // ggml's repacked layout where it has one for the type and shape and activations are int8, else the plain
    // one.
    ggml_backend_buffer_type_t matrix_buffer_type(const ggml_tensor* matrix) const;

    // The type in which a matrix of `type` lies: its own, or float32 on a foreign device that cannot do with
    // it what it is for, or that is to multiply it as float32.
    ggml_type matrix_type(ggml_type type, int64_t columns, int64_t rows, bool multiplied,
                          bool looked_up) const;

    // Throws DeviceError when a foreign device does not compute all of the graph.
    void check(ggml_cgraph* graph) const {
        if (foreign_) check_computes(foreign_, graph);
    }
    // Throws Error, DeviceError of a foreign device, unless memory that was asked of it is `there`.
    void check_memory(bool there, const std::string& subject, const std::string& expected) const;

    // Runs the graph to its end; `phase` is what a profile counts it under. A graph of our operators alone
    // runs on our own threads, without an allocation; any other is ggml's to run, and with several threads
    // all that come after it. Throws Error when ggml reports a failure.
    void compute(ggml_cgraph* graph, const char* phase);

    // From now on the time of each operator is added up, from zero; false: no more. Operators run one by one
    // then, so the sum is somewhat more than a graph takes otherwise.
    void profile(bool on);
    // Seconds by "phase: operator".
    const std::map<std::string, double>& profiled() const { return seconds_; }

    // From now on `watcher` is told of every product, null: no more. A watched graph is computed operator by
    // operator, which is slow: for calibration only.
    void watch(Watcher watcher) { watcher_ = std::move(watcher); }

  private:
    using Around = std::function<void(const ggml_tensor* node, const std::function<void()>& run)>;
    void compute_apart(ggml_cgraph* graph, const Around& around);
    void compute_watched(ggml_cgraph* graph);
    void compute_profiled(ggml_cgraph* graph, const std::string& phase);
    void start_cpu();
    void run_by_ggml(ggml_cgraph* graph);
    bool gather(ggml_cgraph* graph);
    static void run_step(void* self, size_t index, int thread, int threads);

    ggml_backend_dev_t foreign_;  // null: the CPU
    int threads_;
    Cuts cuts_;
    Activations activations_;
    std::optional<StripKernels> strips_;
    Team team_;
    bool shared_with_ggml_ = false;    // some graph was ggml's to run, on several threads
    std::vector<ggml_tensor*> nodes_;  // of the graph that runs on our threads
    bool profiling_ = false;
    std::map<std::string, double> seconds_;
    std::unique_ptr<ggml_threadpool, ThreadpoolDeleter> pool_;
    ggml_backend_ptr backend_;  // destroyed before the pool it uses
    std::vector<ggml_backend_buffer_type_t> extra_types_;
    Watcher watcher_;
};

}  // namespace hyt
