// COBS: see cobs.h.
#include "cobs.h"

size_t hyt_cobs_encode(const uint8_t* in, size_t length, uint8_t* out) {
    size_t code_at = 0;
    size_t to = 1;
    uint8_t code = 1;
    for (size_t from = 0; from < length; ++from) {
        // A full block is closed only when more follows, so 254 bytes need one code byte and not two.
        if (code == 0xff) {
            out[code_at] = code;
            code_at = to++;
            code = 1;
        }
        if (in[from] == 0) {
            out[code_at] = code;
            code_at = to++;
            code = 1;
        } else {
            out[to++] = in[from];
            ++code;
        }
    }
    out[code_at] = code;
    return to;
}

ptrdiff_t hyt_cobs_decode(const uint8_t* in, size_t length, uint8_t* out) {
    if (length == 0) return -1;
    size_t from = 0;
    size_t to = 0;
    while (from < length) {
        const uint8_t code = in[from++];
        if (code == 0 || (size_t)(code - 1) > length - from) return -1;
        for (uint8_t i = 1; i < code; ++i) {
            if (in[from] == 0) return -1;
            out[to++] = in[from++];
        }
        if (code != 0xff && from < length) out[to++] = 0;
    }
    return (ptrdiff_t)to;
}
