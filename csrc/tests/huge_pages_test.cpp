// Memory is asked for in huge pages: whole ones inside what was given, and all of a large cache.
#include "hyt/huge_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

#include "check.h"
#include "hyt/kv_cache.h"

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

bool system_has_them() {
    return std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled").good();
}

// Bytes inside [begin, begin + bytes) whose mapping is to have huge pages ("hg" in /proc/self/smaps).
size_t asked_for(const void* begin, size_t bytes) {
    const auto low = reinterpret_cast<uintptr_t>(begin), high = low + bytes;
    std::ifstream maps("/proc/self/smaps");
    std::string line;
    uintptr_t from = 0, to = 0;
    size_t found = 0;
    while (std::getline(maps, line)) {
        std::istringstream words(line);
        char dash = 0;
        uintptr_t first = 0, last = 0;
        if (words >> std::hex >> first >> dash >> last && dash == '-') {
            from = first;
            to = last;
        }
        if (line.rfind("VmFlags:", 0) != 0 || line.find(" hg") == std::string::npos) continue;
        const uintptr_t start = std::max(from, low), end = std::min(to, high);
        if (end > start) found += end - start;
    }
    return found;
}

void check_whole_pages_inside() {
    const size_t bytes = 4 * kHugePage;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    char* const first =
        static_cast<char*>(memory) + (kHugePage - reinterpret_cast<uintptr_t>(memory) % kHugePage);
    hyt::ask_for_huge_pages(first + 1, kHugePage);  // no whole one lies inside
    CHECK(asked_for(memory, bytes) == 0);
    hyt::ask_for_huge_pages(first - 100, 2 * kHugePage + 200);
    CHECK(asked_for(memory, bytes) == (system_has_them() ? 2 * kHugePage : 0));
    CHECK(asked_for(first, 2 * kHugePage) == asked_for(memory, bytes));
    munmap(memory, bytes);
}

void check_keys_and_values() {
    const hyt::Backend backend(1, hyt::Cuts{}, hyt::Activations::int8);
    hyt::DecoderParams params{};
    params.layers = 2;
    params.kv_heads = 4;
    params.head_dim = 256;
    const hyt::KvCache cache(backend, params, 512, GGML_TYPE_F32, 3);
    const size_t found = asked_for(cache.keys(0)->data, cache.bytes());
    // All but what lies before the first whole page and behind the last.
    CHECK(found >= (system_has_them() ? cache.bytes() - 2 * kHugePage : 0));
}

}  // namespace

int main() {
    check_whole_pages_inside();
    check_keys_and_values();
    return hyt::test::failures;
}
