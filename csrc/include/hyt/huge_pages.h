// Memory whose translations the CPU can hold: pages of 2 MiB in place of 4 KiB, where the system gives them.
#pragma once

#include <ggml-backend.h>

#include <cstddef>

namespace hyt {

// Asks the system for huge pages in [begin, begin + bytes), before the memory is written to for the first
// time. Whole huge pages inside it only, so it takes no more memory. A wish: without them everything works,
// slower.
void ask_for_huge_pages(void* begin, size_t bytes);

// The same of a buffer in the CPU's memory; nothing of another.
void ask_for_huge_pages(ggml_backend_buffer_t buffer);

}  // namespace hyt
