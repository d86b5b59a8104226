// Frames: see frame.h.
#include "frame.h"

#include <string.h>

#include "bytes.h"
#include "crc32.h"

static uint32_t crc_seed(uint8_t type) {
    return type < HYT_FIRST_SCHEMA_MESSAGE ? 0u : HYT_SCHEMA_HASH;
}

size_t hyt_frame_encode(const struct hyt_frame* frame, uint8_t* work, uint8_t* out) {
    work[HYT_HEADER_AT_VERSION] = frame->version;
    work[HYT_HEADER_AT_TYPE] = frame->type;
    hyt_put_u32(work + HYT_HEADER_AT_SESSION, frame->session);
    hyt_put_u16(work + HYT_HEADER_AT_SEQUENCE, frame->sequence);
    hyt_put_u16(work + HYT_HEADER_AT_ACKNOWLEDGEMENT, frame->acknowledgement);
    hyt_put_u32(work + HYT_HEADER_AT_TICK, frame->tick);
    if (frame->payload_size > 0) memcpy(work + HYT_HEADER_SIZE, frame->payload, frame->payload_size);
    const size_t body = HYT_HEADER_SIZE + frame->payload_size;
    hyt_put_u32(work + body, hyt_crc32(crc_seed(frame->type), work, body));
    out[0] = 0;
    const size_t encoded = hyt_cobs_encode(work, body + HYT_CRC_SIZE, out + 1);
    out[1 + encoded] = 0;
    return encoded + 2;
}

static enum hyt_receive decode(uint8_t* buffer, size_t length, struct hyt_frame* frame) {
    const ptrdiff_t size = hyt_cobs_decode(buffer, length, buffer);
    if (size < HYT_HEADER_SIZE + HYT_CRC_SIZE || size > HYT_MAX_FRAME) return HYT_RECEIVE_BAD_FRAMING;
    const size_t body = (size_t)size - HYT_CRC_SIZE;
    if (hyt_crc32(crc_seed(buffer[HYT_HEADER_AT_TYPE]), buffer, body) != hyt_get_u32(buffer + body)) {
        return HYT_RECEIVE_BAD_CRC;
    }
    frame->version = buffer[HYT_HEADER_AT_VERSION];
    frame->type = buffer[HYT_HEADER_AT_TYPE];
    frame->session = hyt_get_u32(buffer + HYT_HEADER_AT_SESSION);
    frame->sequence = hyt_get_u16(buffer + HYT_HEADER_AT_SEQUENCE);
    frame->acknowledgement = hyt_get_u16(buffer + HYT_HEADER_AT_ACKNOWLEDGEMENT);
    frame->tick = hyt_get_u32(buffer + HYT_HEADER_AT_TICK);
    frame->payload = buffer + HYT_HEADER_SIZE;
    frame->payload_size = body - HYT_HEADER_SIZE;
    return HYT_RECEIVE_FRAME;
}

enum hyt_receive hyt_receive_byte(struct hyt_receiver* receiver, uint8_t byte, struct hyt_frame* frame) {
    if (byte != 0) {
        if (receiver->length == sizeof receiver->buffer) {
            receiver->overflow = true;
        } else {
            receiver->buffer[receiver->length++] = byte;
        }
        return HYT_RECEIVE_NOTHING;
    }
    const size_t length = receiver->length;
    const bool overflow = receiver->overflow;
    receiver->length = 0;
    receiver->overflow = false;
    if (length == 0) return HYT_RECEIVE_NOTHING;
    return overflow ? HYT_RECEIVE_BAD_FRAMING : decode(receiver->buffer, length, frame);
}
