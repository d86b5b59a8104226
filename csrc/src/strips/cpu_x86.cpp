// What this x86 CPU and its operating system offer.
#include <cpuid.h>

#include "instruction_sets.h"

namespace hyt::strips {
namespace {

struct Registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf) {
    Registers r;
    __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
    return r;
}

}  // namespace

bool has_f16c() {
    return (cpuid(1, 0).c & (1u << 29)) != 0;
}

bool has_avx512_vnni() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

// Compilers of 2022 do not know this feature's name.
bool has_avx_vnni() {
    return __builtin_cpu_supports("avx2") && (cpuid(7, 1).a & (1u << 4)) != 0;
}

}  // namespace hyt::strips
