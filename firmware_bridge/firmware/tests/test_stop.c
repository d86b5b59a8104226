// The firmware stops after exactly the configured ticks, 1000 times of 1000, and nothing but arming moves it
// again.
#include "fixture.h"

static const int32_t far_points[1] = {1000000000};

static struct hyt_axis_config axis = {
    .name = "x", .low = -2000000000, .high = 2000000000, .interpolation = HYT_INTERPOLATION_LINEAR};

static void silence_stops_after_exactly_the_configured_ticks(void) {
    for (int round = 0; round < 1000; ++round) {
        const struct hyt_config config = {.tick_hz = 1000,
                                          .link_timeout_ticks = (uint32_t)random_between(2, 500),
                                          .stall_limit_ticks = 10,
                                          .start_tick = round % 2 == 0 ? random_u32() : (uint32_t)-round,
                                          .stop_action = HYT_STOP_ACTION_HOLD,
                                          .axis_count = 1,
                                          .axes = &axis};
        boot(&config);
        connect_and_arm(7);
        uint16_t sequence = 1;
        say_chunk(7, ++sequence, firmware.tick, UINT16_MAX, 1, 1, 0, far_points);
        // Some frames keep it going, the last at a random tick.
        for (int frames = random_between(0, 5); frames > 0; --frames) {
            const uint32_t pause = (uint32_t)random_between(0, (int32_t)config.link_timeout_ticks - 1);
            for (uint32_t i = 0; i < pause; ++i) hyt_firmware_tick(&firmware, 1);
            say(HYT_DISARM, 7, ++sequence, (const uint8_t*)"x", 1);  // refused, but heard
        }
        const uint32_t heard = firmware.tick;
        int32_t last = setpoints[0];
        for (uint32_t i = 1; i < config.link_timeout_ticks; ++i) {
            hyt_firmware_tick(&firmware, 1);
            CHECK(firmware.state == HYT_STATE_ARMED && setpoints[0] > last);
            last = setpoints[0];
        }
        for (int i = 0; i < 50; ++i) {
            hyt_firmware_tick(&firmware, 1);
            CHECK(firmware.state == HYT_STATE_STOPPED && setpoints[0] == last);
        }
        CHECK(firmware.trip == HYT_TRIP_LINK_SILENCE &&
              firmware.trip_tick == heard + config.link_timeout_ticks);
        // Nothing of the old session, and no mere new session, moves it.
        say_chunk(7, ++sequence, firmware.tick, 10, 1, 1, HYT_CHUNK_FLAG_RESTART, far_points);
        say(HYT_ARM, 7, ++sequence, NULL, 0);
        say_hello(8);
        say_chunk(8, 1, firmware.tick, 10, 1, 1, HYT_CHUNK_FLAG_RESTART, far_points);
        for (int i = 0; i < 20; ++i) hyt_firmware_tick(&firmware, 1);
        CHECK(setpoints[0] == last);
        say(HYT_ARM, 8, 2, NULL, 0);
        say_chunk(8, 3, firmware.tick, 10, 1, 1, 0, far_points);
        hyt_firmware_tick(&firmware, 1);
        CHECK(setpoints[0] != last);
    }
}

static void stop_is_obeyed_in_the_tick_it_arrives_in(void) {
    for (int round = 0; round < 1000; ++round) {
        const struct hyt_config config = {.tick_hz = 1000,
                                          .link_timeout_ticks = 10000,
                                          .stop_action = HYT_STOP_ACTION_HOLD,
                                          .axis_count = 1,
                                          .axes = &axis};
        boot(&config);
        connect_and_arm(7);
        say_chunk(7, 2, firmware.tick, UINT16_MAX, 1, 1, 0, far_points);
        for (int i = random_between(1, 400); i > 0; --i) hyt_firmware_tick(&firmware, 1);
        const int32_t last = setpoints[0];
        static const uint8_t echo[HYT_STOP_SIZE];
        say(HYT_STOP, random_u32(), 0, echo, sizeof echo);  // whoever says it
        for (int i = 0; i < 10; ++i) {
            hyt_firmware_tick(&firmware, 1);
            CHECK(firmware.state == HYT_STATE_STOPPED && setpoints[0] == last);
        }
    }
}

int main(void) {
    silence_stops_after_exactly_the_configured_ticks();
    stop_is_obeyed_in_the_tick_it_arrives_in();
    return 0;
}
