// The firmware as a port sees it: bad configurations, hostile sessions, lost ticks.
#include "fixture.h"

static const struct hyt_axis_config axes[2] = {{.name = "x",
                                                .low = -1000,
                                                .high = 1000,
                                                .max_velocity = 100000,
                                                .max_acceleration = 10000000,
                                                .interpolation = 1},
                                               {.name = "y", .low = -500, .high = 2000, .initial = 7}};
static const struct hyt_config config = {.tick_hz = 1000,
                                         .link_timeout_ticks = 50,
                                         .stall_limit_ticks = 5,
                                         .stop_action = HYT_STOP_ACTION_DECELERATE,
                                         .axis_count = 2,
                                         .axes = axes};
static void a_bad_configuration_is_refused_by_name(void) {
    uint8_t axis;
    struct hyt_config bad = config;
    bad.tick_hz = 0;
    CHECK(hyt_firmware_init(&firmware, &bad, &hal, &axis) == HYT_CONFIG_TICK_HZ);
    bad = config;
    bad.link_timeout_ticks = 0;
    CHECK(hyt_firmware_init(&firmware, &bad, &hal, &axis) == HYT_CONFIG_LINK_TIMEOUT);
    bad = config;
    bad.stop_action = 3;
    CHECK(hyt_firmware_init(&firmware, &bad, &hal, &axis) == HYT_CONFIG_STOP_ACTION);
    bad = config;
    bad.axis_count = HYT_MAX_AXES + 1;
    CHECK(hyt_firmware_init(&firmware, &bad, &hal, &axis) == HYT_CONFIG_AXIS_COUNT);
    struct hyt_axis_config bad_axes[2] = {axes[0], axes[1]};
    bad = config;
    bad.axes = bad_axes;
    bad_axes[1].initial = 2001;
    CHECK(hyt_firmware_init(&firmware, &bad, &hal, &axis) == HYT_CONFIG_AXIS_RANGE && axis == 1);
    bad_axes[1] = axes[1];
    bad_axes[0].max_acceleration = -1;
    CHECK(hyt_firmware_init(&firmware, &bad, &hal, &axis) == HYT_CONFIG_AXIS_LIMIT && axis == 0);
    bad_axes[0] = axes[0];
    bad_axes[1].interpolation = 3;
    CHECK(hyt_firmware_init(&firmware, &bad, &hal, &axis) == HYT_CONFIG_AXIS_INTERPOLATION && axis == 1);
}

static void late_ticks_are_made_up_for_and_many_trip(void) {
    boot(&config);
    connect_and_arm(9);
    hyt_firmware_tick(&firmware, 6);
    CHECK(firmware.tick == 6 && firmware.state == HYT_STATE_ARMED);
    hyt_firmware_tick(&firmware, 7);
    CHECK(firmware.tick == 13 && firmware.trip == HYT_TRIP_TICK_STALL);
    CHECK(firmware.counters[HYT_COUNT_LOST_TICKS] == 5 + 6);
    say(HYT_ARM, 9, 2, NULL, 0);
    CHECK(firmware.state == HYT_STATE_STOPPED);
}

static void an_emergency_stop_trips_and_keeps_arming_away(void) {
    boot(&config);
    connect_and_arm(9);
    pressed = true;
    hyt_firmware_tick(&firmware, 1);
    CHECK(firmware.trip == HYT_TRIP_EMERGENCY_STOP);
    hyt_firmware_tick(&firmware, 1);
    uint8_t schema[4];
    hyt_put_u32(schema, HYT_SCHEMA_HASH);
    say(HYT_HELLO, 10, 0, schema, sizeof schema);
    say(HYT_ARM, 10, 1, NULL, 0);
    CHECK(firmware.state == HYT_STATE_STOPPED);
    pressed = false;
    say(HYT_ARM, 10, 2, NULL, 0);
    CHECK(firmware.state == HYT_STATE_ARMED);
}

// Well-formed frames with random contents, random bytes and random time, and after each tick the promises of
// firmware.h.
static void whatever_is_received_the_promises_hold(void) {
    static uint8_t payload[HYT_MAX_PAYLOAD];
    boot(&config);
    uint32_t session = 1;
    uint16_t sequence = 0;
    uint64_t moved = 0;
    for (int round = 0; round < 200000; ++round) {
        const uint32_t dice = random_u32() % 100;
        if (dice == 0) {
            hyt_put_u32(payload, HYT_SCHEMA_HASH);
            say(HYT_HELLO, ++session, 0, payload, 4);
            sequence = 0;
        } else if (dice < 10) {
            say(HYT_ARM, session, ++sequence, NULL, 0);
        } else if (dice < 50) {
            const uint16_t steps = (uint16_t)random_between(0, 4);
            hyt_put_u32(payload + HYT_CHUNK_AT_START_TICK, firmware.tick + (uint32_t)random_between(-1, 30));
            hyt_put_u16(payload + HYT_CHUNK_AT_STEP_TICKS, (uint16_t)random_between(0, 20));
            hyt_put_u16(payload + HYT_CHUNK_AT_STEPS, steps);
            payload[HYT_CHUNK_AT_AXES] = 2;
            payload[HYT_CHUNK_AT_FLAGS] = (uint8_t)random_u32();
            for (size_t i = 0; i < 2u * steps; ++i) {
                hyt_put_u32(payload + HYT_CHUNK_SIZE + 4 * i, (uint32_t)random_between(-510, 1010));
            }
            say(HYT_CHUNK, session, ++sequence, payload, HYT_CHUNK_SIZE + 8u * steps);
        } else if (dice < 60) {
            for (size_t i = 0; i < 64; ++i) payload[i] = (uint8_t)(random_u32() % 5);
            hyt_firmware_receive(&firmware, payload, 64);
        } else if (dice < 62) {
            say((uint8_t)random_u32(), random_u32() % 2 == 0 ? session : random_u32(), (uint16_t)random_u32(),
                payload, random_u32() % 64);
        }
        const bool was_armed = firmware.state == HYT_STATE_ARMED || firmware.state == HYT_STATE_STOPPING;
        int32_t before[2];
        memcpy(before, setpoints, sizeof before);
        hyt_firmware_tick(&firmware, random_u32() % 500 == 0 ? 8 : 1);
        for (int i = 0; i < 2 && round > 0; ++i) {
            CHECK(setpoints[i] >= axes[i].low && setpoints[i] <= axes[i].high);
            CHECK(was_armed || setpoints[i] == before[i]);
            moved += setpoints[i] != before[i];
        }
        CHECK(firmware.state != HYT_STATE_STOPPED || firmware.motion.queue.count == 0);
    }
    CHECK(moved > 5000);
}

int main(void) {
    a_bad_configuration_is_refused_by_name();
    late_ticks_are_made_up_for_and_many_trip();
    an_emergency_stop_trips_and_keeps_arming_away();
    whatever_is_received_the_promises_hold();
    return 0;
}
