// A firmware with its HAL on the test's side, and a host that says frames to it.
#ifndef HYT_FIXTURE_H
#define HYT_FIXTURE_H

#include <string.h>

#include "bytes.h"
#include "check.h"
#include "firmware.h"

static struct hyt_firmware firmware;
static int32_t setpoints[HYT_MAX_AXES];  // of the last tick
static bool pressed;                     // the emergency stop

static bool transmit(void* context, const uint8_t* bytes, size_t size) {
    (void)context;
    // Every frame that leaves has its delimiters and no other zero.
    CHECK(size >= 2 && bytes[0] == 0 && memchr(bytes + 1, 0, size - 1) == bytes + size - 1);
    return true;
}

static void output(void* context, const int32_t* values, uint8_t count, bool enabled) {
    (void)context;
    (void)enabled;
    memcpy(setpoints, values, count * sizeof *values);
}

static bool emergency_stop(void* context) {
    (void)context;
    return pressed;
}

static bool measure(void* context, int32_t* positions, uint8_t count) {
    (void)context;
    for (uint8_t i = 0; i < count; ++i) positions[i] = -i;
    return true;
}

static const struct hyt_hal hal = {NULL, transmit, output, emergency_stop, measure};

static inline void boot(const struct hyt_config* config) {
    uint8_t axis;
    pressed = false;
    CHECK(hyt_firmware_init(&firmware, config, &hal, &axis) == HYT_CONFIG_OK);
    for (uint8_t i = 0; i < config->axis_count; ++i) setpoints[i] = config->axes[i].initial;
}

static inline void say(uint8_t type, uint32_t session, uint16_t sequence, const uint8_t* payload,
                       size_t payload_size) {
    static uint8_t work[HYT_FRAME_SIZE(HYT_MAX_PAYLOAD)];
    static uint8_t encoded[HYT_ENCODED_MAX(HYT_MAX_PAYLOAD)];
    const struct hyt_frame frame = {HYT_PROTOCOL_VERSION, type,    session,     sequence, 0,
                                    firmware.tick,        payload, payload_size};
    hyt_firmware_receive(&firmware, encoded, hyt_frame_encode(&frame, work, encoded));
}

static inline void say_hello(uint32_t session) {
    uint8_t schema[HYT_HELLO_SIZE];
    hyt_put_u32(schema, HYT_SCHEMA_HASH);
    say(HYT_HELLO, session, 0, schema, sizeof schema);
}

static inline void connect_and_arm(uint32_t session) {
    say_hello(session);
    say(HYT_ARM, session, 1, NULL, 0);
    CHECK(firmware.state == HYT_STATE_ARMED);
}

// Says a chunk of points (steps, axes) in micro-units; they may be any 32 bits.
static inline void say_chunk(uint32_t session, uint16_t sequence, uint32_t start, uint16_t step_ticks,
                             uint16_t steps, uint8_t axes, uint8_t flags, const int32_t* points) {
    static uint8_t payload[HYT_MAX_PAYLOAD];
    hyt_put_u32(payload + HYT_CHUNK_AT_START_TICK, start);
    hyt_put_u16(payload + HYT_CHUNK_AT_STEP_TICKS, step_ticks);
    hyt_put_u16(payload + HYT_CHUNK_AT_STEPS, steps);
    payload[HYT_CHUNK_AT_AXES] = axes;
    payload[HYT_CHUNK_AT_FLAGS] = flags;
    const size_t count = (size_t)steps * axes;
    CHECK(count <= HYT_MAX_POINTS);
    for (size_t i = 0; i < count; ++i) hyt_put_u32(payload + HYT_CHUNK_SIZE + 4 * i, (uint32_t)points[i]);
    say(HYT_CHUNK, session, sequence, payload, HYT_CHUNK_SIZE + 4 * count);
}

#endif
