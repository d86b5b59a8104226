// What a foreign device is asked before it computes: operators of ours are refused, ggml's are not.
#include "hyt/device.h"

#include <string>
#include <vector>

#include "check.h"
#include "hyt/graph.h"
#include "hyt/product.h"

namespace {

const std::vector<int32_t> kIds = {1, 0};

// What an allocation that failed says.
template <typename Kind>
std::string spent(const hyt::Backend& backend) {
    try {
        backend.check_memory(true, "weights", "memory for them");
        backend.check_memory(false, "weights", "memory for them");
    } catch (const Kind& error) {
        return error.subject();
    }
    return "";
}

// What placing a graph of one operator says, empty where it is placed.
std::string said(const hyt::Backend& backend, bool ours) {
    const hyt::Graph graph(8);
    ggml_tensor* x = hyt::graph_input(graph, GGML_TYPE_F32, 2, 3);
    graph.expand(ours ? hyt::ops::picked(graph.context(), x, kIds) : ggml_scale(graph.context(), x, 2.0f));
    hyt::Workspace workspace(backend);
    try {
        workspace.place(graph);
        return "";
    } catch (const hyt::DeviceError& error) {
        return error.what();
    }
}

}  // namespace

int main() {
    CHECK(hyt::foreign_device("cpu", false) == nullptr);
    CHECK(hyt::foreign_device("CPU", false) == nullptr);
    ggml_backend_dev_t device = hyt::foreign_device("cpu", true);
    CHECK(device != nullptr);
    const hyt::Backend cpu(1, {}), foreign(1, {}, hyt::Activations::int8, device);
    CHECK(!cpu.foreign() && foreign.foreign());
    CHECK(said(cpu, true).empty() && said(cpu, false).empty() && said(foreign, false).empty());
    const std::string refused = said(foreign, true);
    CHECK(refused.find("expected one that computes CUSTOM of f32; received one that does not") !=
          std::string::npos);
    CHECK(spent<hyt::Error>(cpu) == "weights");
    CHECK(spent<hyt::DeviceError>(foreign).rfind("device CPU (", 0) == 0);
    CHECK(!foreign.strips() && !foreign.cuts().own_threads && foreign.cuts().action_rows);

    CHECK(foreign.matrix_type(GGML_TYPE_Q4_0, 32, 8, true, false) == GGML_TYPE_Q4_0);
    const hyt::Backend exact(1, {}, hyt::Activations::float32, device);
    CHECK(exact.matrix_type(GGML_TYPE_Q4_0, 32, 8, true, false) == GGML_TYPE_F32);
    CHECK(exact.matrix_type(GGML_TYPE_Q4_0, 32, 8, false, true) == GGML_TYPE_Q4_0);
    const hyt::Backend exact_cpu(1, {}, hyt::Activations::float32);
    CHECK(exact_cpu.matrix_type(GGML_TYPE_Q4_0, 32, 8, true, false) == GGML_TYPE_Q4_0);
    return hyt::test::failures;
}
