// How long products with INT4 matrices take on this machine, for benchmarks.
#pragma once

#include <cstdint>
#include <string>

namespace hyt {

struct ProductTiming {
    double quantize, multiply;  // seconds, the best of all repetitions
    double read;                // seconds to read the matrix' bytes once with all threads, likewise
    int64_t bytes;              // of the matrix
};

// Multiplies a (columns, rows) matrix of zeros and ones with `count` columns on `threads` threads, `repeat`
// times, by the kernels of that name (empty: the fastest that this CPU has). Throws Error when there are
// none.
ProductTiming time_product(const std::string& kernels, int64_t columns, int64_t rows, int64_t count,
                           int threads, int repeat);

}  // namespace hyt
