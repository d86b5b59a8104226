// COBS, CRC-32 and frames: known vectors, round trips, and hostile bytes.
#include <string.h>

#include "bytes.h"
#include "check.h"
#include "crc32.h"
#include "frame.h"

static void the_crc_is_the_one_of_zlib(void) {
    CHECK(hyt_crc32(0, (const uint8_t*)"123456789", 9) == 0xcbf43926u);
    CHECK(hyt_crc32(hyt_crc32(0, (const uint8_t*)"1234", 4), (const uint8_t*)"56789", 5) == 0xcbf43926u);
}

static void cobs_gives_back_what_it_took_and_never_a_zero(void) {
    static uint8_t data[1200];
    static uint8_t encoded[HYT_COBS_MAX(sizeof data)];
    for (size_t length = 0; length <= sizeof data; ++length) {
        for (size_t i = 0; i < length; ++i)
            data[i] = random_u32() % 300 == 0 ? 0 : (uint8_t)(1 + random_u32() % 255);
        const size_t size = hyt_cobs_encode(data, length, encoded);
        CHECK(size <= HYT_COBS_MAX(length));
        CHECK(memchr(encoded, 0, size) == NULL);
        CHECK(hyt_cobs_decode(encoded, size, encoded) == (ptrdiff_t)length);  // in place
        CHECK(memcmp(encoded, data, length) == 0);
    }
}

static void cobs_knows_its_full_block(void) {
    uint8_t data[254];
    uint8_t encoded[256];
    memset(data, 7, sizeof data);
    CHECK(hyt_cobs_encode(data, 254, encoded) == 255 && encoded[0] == 0xff);
    CHECK(hyt_cobs_encode(data, 253, encoded) == 254 && encoded[0] == 0xfe);
}

static void broken_cobs_is_refused(void) {
    uint8_t out[4];
    CHECK(hyt_cobs_decode((const uint8_t*)"", 0, out) == -1);
    CHECK(hyt_cobs_decode((const uint8_t*)"\x03\x01", 2, out) == -1);
    CHECK(hyt_cobs_decode((const uint8_t*)"\x03\x01\x00", 3, out) == -1);
    CHECK(hyt_cobs_decode((const uint8_t*)"\x00", 1, out) == -1);
}

static enum hyt_receive feed(struct hyt_receiver* receiver, const uint8_t* bytes, size_t size,
                             struct hyt_frame* frame) {
    enum hyt_receive last = HYT_RECEIVE_NOTHING;
    for (size_t i = 0; i < size; ++i) {
        const enum hyt_receive result = hyt_receive_byte(receiver, bytes[i], frame);
        if (result != HYT_RECEIVE_NOTHING) last = result;
    }
    return last;
}

static uint8_t payload[HYT_MAX_PAYLOAD];
static uint8_t work[HYT_FRAME_SIZE(HYT_MAX_PAYLOAD)];
static uint8_t encoded[HYT_ENCODED_MAX(HYT_MAX_PAYLOAD)];

static void the_largest_frame_arrives_whole(void) {
    static struct hyt_receiver receiver;
    for (size_t i = 0; i < sizeof payload; ++i) payload[i] = (uint8_t)(1 + i % 255);
    const struct hyt_frame sent = {HYT_PROTOCOL_VERSION, HYT_CHUNK, 0xffffffffu,   0xffff, 0xffff,
                                   0xffffffffu,          payload,   sizeof payload};
    const size_t size = hyt_frame_encode(&sent, work, encoded);
    CHECK(size <= sizeof encoded);
    struct hyt_frame frame;
    CHECK(feed(&receiver, encoded, size, &frame) == HYT_RECEIVE_FRAME);
    CHECK(frame.payload_size == sizeof payload && memcmp(frame.payload, payload, sizeof payload) == 0);
    CHECK(frame.session == 0xffffffffu && frame.sequence == 0xffff && frame.tick == 0xffffffffu);
}

static void one_byte_too_many_is_refused_and_the_next_frame_is_not(void) {
    static struct hyt_receiver receiver;
    const struct hyt_frame small = {HYT_PROTOCOL_VERSION, HYT_PING, 1, 2, 3, 4, payload, HYT_PING_SIZE};
    struct hyt_frame frame;
    for (size_t i = 0; i < 3 * sizeof receiver.buffer; ++i) {
        CHECK(hyt_receive_byte(&receiver, 1, &frame) == HYT_RECEIVE_NOTHING);
    }
    CHECK(hyt_receive_byte(&receiver, 0, &frame) == HYT_RECEIVE_BAD_FRAMING);
    CHECK(feed(&receiver, encoded, hyt_frame_encode(&small, work, encoded), &frame) == HYT_RECEIVE_FRAME);
}

static void a_damaged_frame_is_never_accepted(void) {
    static struct hyt_receiver receiver;
    for (int round = 0; round < 20000; ++round) {
        const size_t payload_size = random_u32() % 40;
        for (size_t i = 0; i < payload_size; ++i) payload[i] = (uint8_t)(random_u32() % 4);
        const struct hyt_frame sent = {
            HYT_PROTOCOL_VERSION, (uint8_t)random_u32(), random_u32(), 5, 6, 7, payload, payload_size};
        const size_t size = hyt_frame_encode(&sent, work, encoded);
        for (uint32_t errors = 1 + random_u32() % 4; errors > 0; --errors) {
            // Never to zero: that would be two frames, which another test sends.
            uint8_t* byte = &encoded[1 + random_u32() % (size - 2)];
            uint8_t flipped = (uint8_t)(*byte ^ (1u << (random_u32() % 8)));
            *byte = flipped != 0 ? flipped : (uint8_t)(*byte ^ 3u);
        }
        static uint8_t untouched[HYT_ENCODED_MAX(HYT_MAX_PAYLOAD)];
        hyt_frame_encode(&sent, work, untouched);
        if (memcmp(untouched, encoded, size) == 0) continue;  // the flips undid each other
        struct hyt_frame frame;
        CHECK(feed(&receiver, encoded, size, &frame) != HYT_RECEIVE_FRAME);
    }
}

int main(void) {
    the_crc_is_the_one_of_zlib();
    cobs_gives_back_what_it_took_and_never_a_zero();
    cobs_knows_its_full_block();
    broken_cobs_is_refused();
    the_largest_frame_arrives_whole();
    one_byte_too_many_is_refused_and_the_next_frame_is_not();
    a_damaged_frame_is_never_accepted();
    return 0;
}
