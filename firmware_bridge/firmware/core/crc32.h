// CRC-32 of IEEE 802.3 (reflected, polynomial 0xEDB88320), the one of zlib, with a 64-byte table.
#ifndef HYT_CRC32_H
#define HYT_CRC32_H

#include <stddef.h>
#include <stdint.h>

// CRC of `length` bytes continued from `seed`; the same number as zlib's crc32(seed, data, length). Cannot
// fail.
uint32_t hyt_crc32(uint32_t seed, const uint8_t* data, size_t length);

#endif
