// A libFuzzer target: bytes become a configuration, then what a wire, a host and a clock may do, with the
// promises of firmware.h checked after every tick. Frames get a right checksum, for a fuzzer would never
// guess one.
//   make fuzz
#include "fixture.h"

#define AXES 2

struct input {
    const uint8_t* data;
    size_t size;
};

static uint8_t take(struct input* input) {
    if (input->size == 0) return 0;
    --input->size;
    return *input->data++;
}

static uint32_t take_u32(struct input* input) {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | take(input);
    return value;
}

static struct hyt_axis_config axes[AXES];
static struct hyt_config config;

static void configure(struct input* input) {
    config = (struct hyt_config){.tick_hz = 1 + take_u32(input) % 100000,
                                 .link_timeout_ticks = 1 + take_u32(input) % HYT_MAX_LEAD_TICKS,
                                 .underrun_timeout_ticks = take(input),
                                 .stall_limit_ticks = take(input) % 32,
                                 .start_tick = take_u32(input),
                                 .stop_action = take(input) % 3,
                                 .axis_count = AXES,
                                 .axes = axes};
    for (int i = 0; i < AXES; ++i) {
        const int32_t a = (int32_t)take_u32(input);
        const int32_t b = (int32_t)take_u32(input);
        axes[i] = (struct hyt_axis_config){.name = "a",
                                           .low = a < b ? a : b,
                                           .high = a < b ? b : a,
                                           .max_velocity = (int32_t)(take_u32(input) >> 1),
                                           .max_acceleration = (int32_t)(take_u32(input) >> 1),
                                           .initial = b,
                                           .interpolation = take(input) % 3};
    }
}

static void frame(struct input* input, uint32_t* session, uint16_t* sequence) {
    static const uint8_t types[] = {HYT_PING, HYT_STOP,   HYT_SUBSCRIBE, HYT_DESCRIBE,
                                    HYT_ARM,  HYT_DISARM, HYT_CHUNK};
    const uint8_t kind = take(input);
    uint8_t payload[64];
    if (kind < 8) {
        say_hello(kind < 6 ? ++*session : *session);
        *sequence = 0;
    } else if (kind < 100) {
        int32_t points[4 * AXES];
        const uint16_t steps = take(input) % 5;
        for (int i = 0; i < steps * AXES; ++i) {
            const uint32_t bits = take_u32(input);
            const struct hyt_axis_config* axis = &axes[i % AXES];
            const uint32_t span = (uint32_t)axis->high - (uint32_t)axis->low;
            points[i] = kind < 20 || span == UINT32_MAX ? (int32_t)bits
                                                        : (int32_t)((uint32_t)axis->low + bits % (span + 1));
        }
        const uint32_t start = firmware.tick + (kind < 30 ? take_u32(input) : take(input));
        say_chunk(*session, ++*sequence, start, (uint16_t)(take_u32(input) >> (kind % 16)), steps, AXES,
                  kind & 1, points);
    } else {
        const uint8_t type = kind < 240 ? types[kind % sizeof types] : take(input);
        const size_t size = type >= HYT_ARM && kind < 250 ? 0 : take(input) % sizeof payload;
        for (size_t i = 0; i < size; ++i) payload[i] = take(input);
        if (type >= HYT_FIRST_COMMAND) ++*sequence;
        say(type, kind == 255 ? take_u32(input) : *session, *sequence, payload, size);
    }
}

static void tick(uint32_t due) {
    const bool moving = firmware.state == HYT_STATE_ARMED || firmware.state == HYT_STATE_STOPPING;
    int32_t before[AXES];
    memcpy(before, setpoints, sizeof before);
    hyt_firmware_tick(&firmware, due);
    for (int i = 0; i < AXES; ++i) {
        CHECK(setpoints[i] >= axes[i].low && setpoints[i] <= axes[i].high);
        CHECK(moving || setpoints[i] == before[i]);
        const int64_t step = (int64_t)setpoints[i] - before[i];
        const int64_t ticks = due > config.stall_limit_ticks + 1 ? 1 : due;
        const int64_t most = (axes[i].max_velocity / (int64_t)config.tick_hz + 2) * ticks;
        CHECK(axes[i].max_velocity == 0 || (step <= most && step >= -most));
    }
    CHECK(firmware.state != HYT_STATE_STOPPED || firmware.motion.queue.count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    struct input input = {data, size};
    configure(&input);
    boot(&config);
    uint32_t session = 1;
    uint16_t sequence = 0;
    while (input.size > 0) {
        const uint8_t kind = take(&input);
        if (kind < 100) {
            frame(&input, &session, &sequence);
        } else if (kind < 120) {
            uint8_t bytes[32];
            for (size_t i = 0; i < sizeof bytes; ++i) bytes[i] = take(&input);
            hyt_firmware_receive(&firmware, bytes, sizeof bytes);
        } else if (kind == 120) {
            pressed = !pressed;
        } else if (kind < 130) {
            tick(take(&input));
        } else {
            for (int i = kind % 32; i >= 0; --i) tick(1);
        }
    }
    return 0;
}
