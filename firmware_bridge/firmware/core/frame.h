// Frames: a zero byte, COBS(header, payload, CRC-32), a zero byte; numbers are little-endian.
//
// The zero on both sides keeps damage in one frame from reaching its neighbour: a lost or forged delimiter
// costs the frame it belongs to and no other.
#ifndef HYT_FRAME_H
#define HYT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cobs.h"
#include "protocol_constants.h"

#define HYT_CRC_SIZE 4
// The largest payload is that of a full CHUNK.
#define HYT_MAX_PAYLOAD (HYT_CHUNK_SIZE + 4 * HYT_MAX_POINTS)

struct hyt_frame {
    uint8_t version;
    uint8_t type;
    uint32_t session;
    uint16_t sequence;
    uint16_t acknowledgement;
    uint32_t tick;
    const uint8_t* payload;  // (payload_size,) bytes, owned by whoever filled the frame
    size_t payload_size;
};

// Size of a frame before encoding, and the most that it takes on the wire with both delimiters.
#define HYT_FRAME_SIZE(payload_size) (HYT_HEADER_SIZE + (payload_size) + HYT_CRC_SIZE)
#define HYT_ENCODED_MAX(payload_size) (HYT_COBS_MAX(HYT_FRAME_SIZE(payload_size)) + 2)

// Writes `frame` with both delimiters to `out`, which must hold HYT_ENCODED_MAX(payload_size) bytes; `work`
// holds HYT_FRAME_SIZE(payload_size) bytes; neither may overlap the payload or the other. Returns the size.
// Cannot fail.
size_t hyt_frame_encode(const struct hyt_frame* frame, uint8_t* work, uint8_t* out);

#define HYT_MAX_FRAME HYT_FRAME_SIZE(HYT_MAX_PAYLOAD)

enum hyt_receive {
    HYT_RECEIVE_NOTHING,      // the frame goes on
    HYT_RECEIVE_FRAME,        // *frame is good
    HYT_RECEIVE_BAD_FRAMING,  // no COBS, too short or too long
    HYT_RECEIVE_BAD_CRC,      // COBS, but the CRC-32 is wrong
};

// Collects bytes to frames. All zeros is its initial state.
struct hyt_receiver {
    uint8_t buffer[HYT_COBS_MAX(HYT_MAX_FRAME)];
    size_t length;
    bool overflow;
};

// Takes one byte. On HYT_RECEIVE_FRAME `*frame` is filled and its payload points into the receiver until the
// next call; on every other return `*frame` is untouched. After any return but HYT_RECEIVE_NOTHING the
// receiver is empty and waits for the next frame.
enum hyt_receive hyt_receive_byte(struct hyt_receiver* receiver, uint8_t byte, struct hyt_frame* frame);

#endif
