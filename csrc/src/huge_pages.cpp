// Reading weights walks through memory once a token: with small pages the CPU waits for translations, most of
// all in a virtual machine, where each takes two.
#include "hyt/huge_pages.h"

#include <sys/mman.h>

#include <cstdint>

namespace hyt {
namespace {

constexpr uintptr_t kHugePage = uintptr_t{2} << 20;

}  // namespace

void ask_for_huge_pages(void* begin, size_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(begin);
    const uintptr_t first = (at + kHugePage - 1) / kHugePage * kHugePage;
    const uintptr_t last = (at + bytes) / kHugePage * kHugePage;
    // What it answers changes nothing: a kernel without huge pages refuses.
    if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

void ask_for_huge_pages(ggml_backend_buffer_t buffer) {
    if (ggml_backend_buffer_is_host(buffer))
        ask_for_huge_pages(ggml_backend_buffer_get_base(buffer), ggml_backend_buffer_get_size(buffer));
}

}  // namespace hyt
