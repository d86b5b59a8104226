// Devices that the installed ggml computes on: found by the names that people give them, asked what they
// compute.
#pragma once

#include <ggml-backend.h>
#include <ggml-cpp.h>

#include <cstdint>
#include <string>
#include <vector>

#include "hyt/error.h"

namespace hyt {

// What a device lacks, or that it failed.
class DeviceError : public Error {
  public:
    using Error::Error;
};

struct DeviceInfo {
    std::string name, description;  // as ggml has them, e.g. "CUDA0" and the chip's name
    std::string backend;            // of ggml, e.g. "CUDA"
    size_t free_bytes, total_bytes;
};

// All of them, the CPU among them.
std::vector<DeviceInfo> devices();

// The device of that name, or the first of a ggml backend of that name, capital or not: "CUDA0", "cuda",
// "vulkan". Throws DeviceError, with the names of all, when there is none.
ggml_backend_dev_t find_device(const std::string& name);

// As find_device(), null for the CPU: our own kernels compute there, no graph of ggml's operators alone.
// `even_cpu` treats it as any other device, for tests.
ggml_backend_dev_t foreign_device(const std::string& name, bool even_cpu);

// A backend on the device; on a CPU with `threads` threads. Throws DeviceError when ggml cannot start it.
ggml_backend_ptr start_device(ggml_backend_dev_t device, int threads);

// Name and description.
std::string described(ggml_backend_dev_t device);

// Whether the device multiplies a matrix of this type with float32 columns, and whether it gives its rows as
// float32.
bool multiplies(ggml_backend_dev_t device, ggml_type type, int64_t columns, int64_t rows);
bool looks_up(ggml_backend_dev_t device, ggml_type type, int64_t columns, int64_t rows);

// Throws DeviceError for the first operator of the graph that the device does not compute.
void check_computes(ggml_backend_dev_t device, ggml_cgraph* graph);

}  // namespace hyt
