// Little-endian numbers in byte buffers, for any alignment and host byte order.
#ifndef HYT_BYTES_H
#define HYT_BYTES_H

#include <stdint.h>

static inline void hyt_put_u16(uint8_t* at, uint16_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static inline void hyt_put_u32(uint8_t* at, uint32_t value) {
    hyt_put_u16(at, (uint16_t)value);
    hyt_put_u16(at + 2, (uint16_t)(value >> 16));
}

static inline uint16_t hyt_get_u16(const uint8_t* at) {
    return (uint16_t)(at[0] | (at[1] << 8));
}

static inline uint32_t hyt_get_u32(const uint8_t* at) {
    return (uint32_t)hyt_get_u16(at) | ((uint32_t)hyt_get_u16(at + 2) << 16);
}

// Two's complement; the cast of a value above INT32_MAX is what every compiler we build with defines it to
// be.
static inline int32_t hyt_get_i32(const uint8_t* at) {
    return (int32_t)hyt_get_u32(at);
}

#endif
