// The smallest test frame: CHECK prints what failed and where, and main's return value counts.
#pragma once

#include <cstdio>

namespace hyt::test {
inline int failures = 0;
}

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            ++hyt::test::failures;                                               \
        }                                                                        \
    } while (false)
