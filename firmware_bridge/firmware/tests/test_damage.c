// Damaged frames by the million: none is accepted, and no frame whose bytes and own two delimiters are intact
// is lost.
//   test_damage [FRAMES]   damages that many frames, default 1000000.
#include <string.h>

#include "bytes.h"
#include "check.h"
#include "frame.h"

#define BATCH 64
#define LONGEST 400  // payload bytes
#define NOISE 600    // bytes that damage can add to a frame

static uint8_t stream[BATCH * (HYT_ENCODED_MAX(LONGEST) + NOISE) + 1];
static uint8_t whole[BATCH][HYT_ENCODED_MAX(LONGEST)];  // the frames as they were sent
static size_t sizes[BATCH];
static uint64_t damaged_frames;
static uint64_t intact_frames;
static uint64_t refused;

// Writes frame `number` of the batch, whose sequence is its number, to `whole`.
static void draw_frame(uint16_t number) {
    static uint8_t work[HYT_FRAME_SIZE(LONGEST)];
    static uint8_t payload[LONGEST];
    const size_t size = random_u32() % 16 == 0 ? random_u32() % LONGEST : random_u32() % 40;
    const uint32_t kind = random_u32() % 3;
    for (size_t i = 0; i < size; ++i) payload[i] = kind == 0 ? 0 : (uint8_t)random_u32();
    const struct hyt_frame frame = {HYT_PROTOCOL_VERSION,   (uint8_t)random_u32(), random_u32(), number,
                                    (uint16_t)random_u32(), random_u32(),          payload,      size};
    sizes[number] = hyt_frame_encode(&frame, work, whole[number]);
}

static size_t noise(uint8_t* to, size_t most) {
    const size_t size = random_u32() % most;
    for (size_t i = 0; i < size; ++i) to[i] = (uint8_t)random_u32();
    return size;
}

// Copies a frame and damages it: bits flipped, bytes lost, inserted, overwritten, the end or the beginning
// cut off.
static size_t damage(const uint8_t* frame, size_t size, uint8_t* to) {
    const size_t at = random_u32() % size;
    const size_t rest = size - at;
    memcpy(to, frame, size);
    switch (random_u32() % 7) {
        case 0:
            to[at] ^= (uint8_t)(1u << (random_u32() % 8));
            return size;
        case 1:
            memmove(to + at, to + at + 1, rest - 1);
            return size - 1;
        case 2:
            memmove(to + at + 1, to + at, rest);
            to[at] = (uint8_t)random_u32();
            return size + 1;
        case 3:  // a burst
            for (size_t i = at; i < size && i < at + 24; ++i) to[i] = (uint8_t)random_u32();
            return size;
        case 4:
            return at;
        case 5:
            memmove(to, to + at, rest);
            return rest;
        default: {  // a run of noise
            uint8_t run[NOISE / 2];
            const size_t length = noise(run, sizeof run);
            memmove(to + at + length, to + at, rest);
            memcpy(to + at, run, length);
            return size + length;
        }
    }
}

static bool contains(const uint8_t* bytes, size_t size, const uint8_t* frame, size_t frame_size) {
    for (size_t i = 0; i + frame_size <= size; ++i) {
        if (bytes[i] == 0 && memcmp(bytes + i, frame, frame_size) == 0) return true;
    }
    return false;
}

// Sends a batch in which every other frame is damaged; returns how many were.
static uint32_t send_batch(struct hyt_receiver* receiver) {
    bool expected[BATCH];
    uint32_t count = 0;
    size_t length = 0;
    for (uint16_t i = 0; i < BATCH; ++i) {
        draw_frame(i);
        if (random_u32() % 2 == 0) {
            memcpy(stream + length, whole[i], sizes[i]);
            length += sizes[i];
            expected[i] = true;
            continue;
        }
        const size_t size = damage(whole[i], sizes[i], stream + length);
        // What was inserted can have left the frame whole, delimiters and all: then it is not damaged.
        expected[i] = contains(stream + length, size, whole[i], sizes[i]);
        count += expected[i] ? 0 : 1;
        length += size;
    }
    stream[length++] = 0;  // what the last frame may have lost
    bool arrived[BATCH] = {false};
    for (size_t i = 0; i < length; ++i) {
        struct hyt_frame frame;
        const enum hyt_receive what = hyt_receive_byte(receiver, stream[i], &frame);
        refused += what == HYT_RECEIVE_BAD_FRAMING || what == HYT_RECEIVE_BAD_CRC;
        if (what != HYT_RECEIVE_FRAME) continue;
        // Accepted: then it is, byte for byte, one that was sent.
        static uint8_t work[HYT_FRAME_SIZE(HYT_MAX_PAYLOAD)];
        static uint8_t again[HYT_ENCODED_MAX(HYT_MAX_PAYLOAD)];
        const size_t size = hyt_frame_encode(&frame, work, again);
        CHECK(frame.sequence < BATCH && size == sizes[frame.sequence]);
        CHECK(memcmp(again, whole[frame.sequence], size) == 0);
        arrived[frame.sequence] = true;
    }
    for (uint16_t i = 0; i < BATCH; ++i) {
        CHECK(arrived[i] || !expected[i]);
        intact_frames += expected[i];
        // A frame that lost only delimiters can still be framed by its neighbours': its bytes are intact.
        if (arrived[i] && !expected[i]) --count;
    }
    return count;
}

int main(int argc, char** argv) {
    const uint64_t wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    static struct hyt_receiver receiver;
    while (damaged_frames < wanted) damaged_frames += send_batch(&receiver);
    CHECK(refused > damaged_frames / 2);
    printf("%llu damaged frames, none accepted; %llu intact frames, none lost\n",
           (unsigned long long)damaged_frames, (unsigned long long)intact_frames);
    return 0;
}
