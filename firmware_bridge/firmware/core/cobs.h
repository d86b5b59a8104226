// Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): bytes without a zero, so that a zero can end
// a frame.
#ifndef HYT_COBS_H
#define HYT_COBS_H

#include <stddef.h>
#include <stdint.h>

// Largest size of `length` encoded bytes.
#define HYT_COBS_MAX(length) ((length) + (length) / 254 + 1)

// Encodes `length` bytes of `in` to `out`, which must hold HYT_COBS_MAX(length) bytes and must not overlap
// `in`. Returns the encoded size. Cannot fail. Writes no delimiter.
size_t hyt_cobs_encode(const uint8_t* in, size_t length, uint8_t* out);

// Decodes `length` bytes of `in` to `out`, which must hold `length` bytes and may be `in` itself.
// Returns the decoded size, or -1 when `in` is empty, holds a zero or ends within a block; `out` then holds
// rubbish.
ptrdiff_t hyt_cobs_decode(const uint8_t* in, size_t length, uint8_t* out);

#endif
