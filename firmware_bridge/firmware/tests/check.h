// The smallest test kit: a check that names itself, and repeatable random numbers.
#ifndef HYT_CHECK_H
#define HYT_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

// xorshift64* (Vigna, 2016): the same numbers on every machine.
static uint64_t random_state = 0x9e3779b97f4a7c15u;

static inline uint32_t random_u32(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545f4914f6cdd1du) >> 32);
}

// Uniform enough in low..high.
static inline int32_t random_between(int32_t low, int32_t high) {
    return (int32_t)(low + (int64_t)(random_u32() % (uint64_t)((int64_t)high - low + 1)));
}

#endif
