// Reads ggml's registry and Linux' CPU topology.
#include "hyt/system.h"

#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <thread>

#include "hyt/strips.h"

namespace hyt {

int physical_cores() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    }
    std::set<std::string> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                           "/topology/thread_siblings_list");
        std::string siblings;
        // Without a topology (some containers) each CPU counts as a core.
        if (!std::getline(file, siblings)) siblings = "cpu" + std::to_string(cpu);
        cores.insert(siblings);
    }
    return std::max(1, static_cast<int>(cores.size()));
}

SystemInfo system_info() {
    SystemInfo info{ggml_version(), ggml_commit(), physical_cores(), {}, {}, {}};
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        info.devices.emplace_back(ggml_backend_dev_name(ggml_backend_dev_get(i)));
    }
    const auto features = reinterpret_cast<ggml_backend_get_features_t>(
        ggml_backend_reg_get_proc_address(ggml_backend_cpu_reg(), "ggml_backend_get_features"));
    for (const ggml_backend_feature* f = features ? features(ggml_backend_cpu_reg()) : nullptr; f && f->name;
         ++f) {
        info.features.emplace_back(f->name, f->value);
    }
    for (const StripKernels& kernels : strip_kernels()) info.kernels.emplace_back(kernels.name);
    return info;
}

}  // namespace hyt
