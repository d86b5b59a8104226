// Asks ggml's registry for devices, and devices for what they compute.
#include "hyt/device.h"

#include <ggml-cpu.h>

#include <algorithm>
#include <cctype>

#include "quiet_log.h"

namespace hyt {
namespace {

bool same(const std::string& a, const std::string& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string backend_of(ggml_backend_dev_t device) {
    return ggml_backend_reg_name(ggml_backend_dev_backend_reg(device));
}

bool is_cpu(ggml_backend_dev_t device) {
    return ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU;
}

// Tensors without memory, for questions.
ggml_context_ptr scratch() {
    return ggml_context_ptr(ggml_init({8 * ggml_tensor_overhead(), nullptr, true}));
}

// "MUL_MAT of q4_0 and f32"
std::string operation(const ggml_tensor* node) {
    std::string text = ggml_op_desc(node);
    for (int i = 0; i < GGML_MAX_SRC && node->src[i]; ++i)
        text += (i == 0 ? " of " : " and ") + std::string(ggml_type_name(node->src[i]->type));
    return text;
}

}  // namespace

std::vector<DeviceInfo> devices() {
    const QuietLog quiet;
    std::vector<DeviceInfo> all;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        DeviceInfo info{ggml_backend_dev_name(device), ggml_backend_dev_description(device),
                        backend_of(device), 0, 0};
        ggml_backend_dev_memory(device, &info.free_bytes, &info.total_bytes);
        all.push_back(std::move(info));
    }
    return all;
}

ggml_backend_dev_t find_device(const std::string& name) {
    const QuietLog quiet;
    std::string there;
    ggml_backend_dev_t first = nullptr;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        if (same(ggml_backend_dev_name(device), name)) return device;
        if (!first && same(backend_of(device), name)) first = device;
        there += (there.empty() ? "" : ", ") + std::string(ggml_backend_dev_name(device));
    }
    if (!first)
        throw DeviceError("device", "one of those that the installed ggml has: " + there, "'" + name + "'");
    return first;
}

ggml_backend_dev_t foreign_device(const std::string& name, bool even_cpu) {
    // Other devices are not even started where the CPU is asked for.
    if (!even_cpu && same(name, "cpu")) return nullptr;
    ggml_backend_dev_t device = find_device(name);
    return is_cpu(device) && !even_cpu ? nullptr : device;
}

ggml_backend_ptr start_device(ggml_backend_dev_t device, int threads) {
    const QuietLog quiet;
    ggml_backend_ptr backend(ggml_backend_dev_init(device, nullptr));
    if (!backend) throw DeviceError("device " + described(device), "ggml to start it", "a failure");
    if (is_cpu(device)) ggml_backend_cpu_set_n_threads(backend.get(), threads);
    return backend;
}

std::string described(ggml_backend_dev_t device) {
    return std::string(ggml_backend_dev_name(device)) + " (" + ggml_backend_dev_description(device) + ")";
}

bool multiplies(ggml_backend_dev_t device, ggml_type type, int64_t columns, int64_t rows) {
    const ggml_context_ptr context = scratch();
    ggml_tensor* matrix = ggml_new_tensor_2d(context.get(), type, columns, rows);
    ggml_tensor* x = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, columns, 4);
    return ggml_backend_dev_supports_op(device, ggml_mul_mat(context.get(), matrix, x));
}

bool looks_up(ggml_backend_dev_t device, ggml_type type, int64_t columns, int64_t rows) {
    const ggml_context_ptr context = scratch();
    ggml_tensor* table = ggml_new_tensor_2d(context.get(), type, columns, rows);
    ggml_tensor* ids = ggml_new_tensor_1d(context.get(), GGML_TYPE_I32, 4);
    return ggml_backend_dev_supports_op(device, ggml_get_rows(context.get(), table, ids));
}

void check_computes(ggml_backend_dev_t device, ggml_cgraph* graph) {
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
        const ggml_tensor* node = ggml_graph_node(graph, i);
        // An operator of ours reads memory as the CPU does.
        if (node->op == GGML_OP_CUSTOM || !ggml_backend_dev_supports_op(device, node))
            throw DeviceError("device " + described(device), "one that computes " + operation(node),
                              "one that does not");
    }
}

}  // namespace hyt
