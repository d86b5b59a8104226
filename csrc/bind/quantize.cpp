// Python's view of quantisation, of the system and of its devices.
#include "hyt/quantize.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bind.h"
#include "hyt/device.h"
#include "hyt/error.h"
#include "hyt/product_timing.h"
#include "hyt/system.h"

namespace py = pybind11;
using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using ByteArray = py::array_t<uint8_t, py::array::c_style>;

namespace hyt::bind {
namespace {

ByteArray quantize_array(const std::string& type, const FloatArray& values,
                         const std::optional<FloatArray>& importance) {
    if (values.ndim() != 2) throw Error("matrix to quantise", "2 dimensions", std::to_string(values.ndim()));
    if (importance && (importance->ndim() != 1 || importance->shape(0) != values.shape(1))) {
        throw Error("importance", "one value for each of " + std::to_string(values.shape(1)) + " columns",
                    std::to_string(importance->size()) + " values");
    }
    ByteArray out(static_cast<py::ssize_t>(quantized_size(type, values.shape(0), values.shape(1))));
    const float* weights = importance ? importance->data() : nullptr;
    uint8_t* bytes = out.mutable_data();
    const py::gil_scoped_release unlocked;
    quantize(type, values.data(), values.shape(0), values.shape(1), weights, bytes);
    return out;
}

FloatArray dequantize_array(const std::string& type, const ByteArray& bytes, int64_t rows, int64_t columns) {
    const size_t size = quantized_size(type, rows, columns);
    if (static_cast<size_t>(bytes.size()) != size) {
        throw Error("quantised matrix", std::to_string(size) + " bytes", std::to_string(bytes.size()));
    }
    FloatArray out({rows, columns});
    float* values = out.mutable_data();
    const py::gil_scoped_release unlocked;
    dequantize(type, bytes.data(), rows, columns, values);
    return out;
}

py::dict system_dict() {
    const SystemInfo info = system_info();
    py::dict features;
    for (const auto& [name, value] : info.features) features[py::str(name)] = value;
    py::dict out;
    out["ggml_version"] = info.ggml_version;
    out["ggml_commit"] = info.ggml_commit;
    out["physical_cores"] = info.physical_cores;
    out["devices"] = info.devices;
    out["features"] = features;
    out["kernels"] = info.kernels;
    return out;
}

py::list device_dicts() {
    py::list all;
    for (const DeviceInfo& info : devices()) {
        py::dict out;
        out["name"] = info.name;
        out["description"] = info.description;
        out["backend"] = info.backend;
        out["free_bytes"] = info.free_bytes;
        out["total_bytes"] = info.total_bytes;
        all.append(out);
    }
    return all;
}

}  // namespace

void add_quantize(py::module_& module) {
    module.def("quantization_types", &quantization_types,
               "Names of the weight types that quantize() writes.");
    module.def("quantization_block", &quantization_block, py::arg("type"),
               "Elements of a row that one block holds.");
    module.def(
        "quantize", &quantize_array, py::arg("type"), py::arg("values"), py::arg("importance") = py::none(),
        "float32 (rows, columns) to the type's bytes, uint8; importance is float32 (columns,) or None.");
    module.def("dequantize", &dequantize_array, py::arg("type"), py::arg("bytes"), py::arg("rows"),
               py::arg("columns"), "The inverse of quantize: uint8 bytes to float32 (rows, columns).");
    module.def(
        "time_product",
        [](const std::string& kernels, int64_t columns, int64_t rows, int64_t count, int threads,
           int repeat) {
            const py::gil_scoped_release unlocked;
            const ProductTiming t = time_product(kernels, columns, rows, count, threads, repeat);
            return std::tuple(t.quantize, t.multiply, t.read, t.bytes);
        },
        py::arg("kernels"), py::arg("columns"), py::arg("rows"), py::arg("count"), py::arg("threads") = 1,
        py::arg("repeat") = 20, "Best seconds to quantise, multiply and read, and the matrix' bytes.");
    module.def(
        "system", &system_dict,
        "ggml's version, its devices, its CPU features, the physical cores, and the instruction sets of our"
        " INT4 kernels.");
    module.def("devices", &device_dicts, "What ggml can compute on: name, description, backend, memory.");
    module.def(
        "find_device", [](const std::string& name) { return ggml_backend_dev_name(find_device(name)); },
        py::arg("name"), "The name of the device that a session would take; DeviceError when there is none.");
}

}  // namespace hyt::bind
