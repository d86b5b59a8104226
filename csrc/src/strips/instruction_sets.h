// The instruction sets that have kernels; each is asked about only on CPUs of its architecture.
#pragma once

#include "hyt/strips.h"

namespace hyt::strips {

bool has_f16c();
bool has_avx512_vnni();
bool has_avx_vnni();
bool has_neon_dot();

StripKernels avx512_vnni();
StripKernels avx_vnni();
StripKernels avx2();
StripKernels neon_dot();

}  // namespace hyt::strips
