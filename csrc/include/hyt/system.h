// What the core runs on: ggml's version and the instruction sets it was built for.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace hyt {

struct SystemInfo {
    std::string ggml_version;
    std::string ggml_commit;
    int physical_cores;                                         // at least 1
    std::vector<std::string> devices;                           // ggml's device names, e.g. "CPU"
    std::vector<std::pair<std::string, std::string>> features;  // of the CPU backend, e.g. ("AVX2", "1")
    std::vector<std::string> kernels;  // instruction sets of our INT4 kernels, the one in use first
};

SystemInfo system_info();

// Physical cores this process may use (hyper-threads of one core count once), at least 1.
int physical_cores();

}  // namespace hyt
