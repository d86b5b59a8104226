// No setpoint leaves the firmware outside its axis' limits, whatever is sent: random axes, hostile chunks,
// stops in mid-motion, lost ticks. Velocity and acceleration are taken from the setpoints as they leave,
// across every seam.
#include "fixture.h"

#define AXES 3

static struct hyt_axis_config axes[AXES];
static struct hyt_config config;
static uint64_t moved;

static void draw_config(int round) {
    config = (struct hyt_config){.tick_hz = (uint32_t)random_between(50, 2000),
                                 .link_timeout_ticks = (uint32_t)random_between(20, 400),
                                 .underrun_timeout_ticks = (uint32_t)random_between(0, 200),
                                 .stall_limit_ticks = 4,
                                 .start_tick = random_u32(),
                                 .stop_action = (uint8_t)(round % 3),
                                 .axis_count = AXES,
                                 .axes = axes};
    for (uint8_t i = 0; i < AXES; ++i) {
        const int32_t low = random_between(-2000000000, 1000000000);
        const int32_t high = random_between(0, 3) == 0 ? low : random_between(low, 2000000000);
        axes[i] = (struct hyt_axis_config){
            .name = "a",
            .low = low,
            .high = high,
            .max_velocity = random_between(0, 3) == 0 ? 0 : random_between(1, 1 << random_between(8, 30)),
            .max_acceleration = random_between(0, 3) == 0 ? 0 : random_between(1, 1 << random_between(8, 30)),
            .initial = random_between(low, high),
            .interpolation = (uint8_t)random_between(HYT_INTERPOLATION_HOLD, HYT_INTERPOLATION_CUBIC)};
    }
}

// A point within the axis, at its edges, or bits that are NaN, an infinity or the extremes of the type.
static int32_t draw_point(const struct hyt_axis_config* axis) {
    static const uint32_t hostile[] = {0x7fc00000u, 0x7f800000u, 0xff800000u,
                                       0x7fffffffu, 0x80000000u, 0xffc00000u};
    switch (random_between(0, 40)) {
        case 0:
            return (int32_t)hostile[random_u32() % (sizeof hostile / sizeof *hostile)];
        case 1:
            return (int32_t)random_u32();
        case 2:
            return axis->low;
        case 3:
            return axis->high;
        default:
            return random_between(axis->low, axis->high);
    }
}

static void draw_chunk(uint32_t session, uint16_t sequence, uint32_t* end) {
    int32_t points[4 * AXES];
    const uint16_t steps = (uint16_t)random_between(1, 4);
    const uint16_t step_ticks = (uint16_t)random_between(1, random_between(0, 9) == 0 ? UINT16_MAX : 40);
    for (int i = 0; i < steps * AXES; ++i) points[i] = draw_point(&axes[i % AXES]);
    // Most follow the last at once: the seams are what is tested.
    const uint32_t start =
        random_between(0, 3) == 0 ? firmware.tick + (uint32_t)random_between(-1, 30) : *end;
    say_chunk(session, sequence, start, step_ticks, steps, AXES, (uint8_t)random_between(0, 1), points);
    *end = firmware.counters[HYT_COUNT_CHUNKS_ACCEPTED] > 0 && firmware.motion.queue.count > 0
               ? start + (uint32_t)step_ticks * steps
               : firmware.tick;
}

static int64_t distance(int64_t a, int64_t b) {
    return a > b ? a - b : b - a;
}

// What the last two ticks changed, against the limits; each setpoint is rounded by half a micro-unit, and
// limits by 1/4096 of one a tick.
static void check_limits(const int32_t* before, const int64_t* steps_before, int64_t* steps, bool frozen) {
    for (int i = 0; i < AXES; ++i) {
        const int64_t hz = config.tick_hz;
        steps[i] = (int64_t)setpoints[i] - before[i];
        moved += steps[i] != 0;
        CHECK(setpoints[i] >= axes[i].low && setpoints[i] <= axes[i].high);
        if (axes[i].max_velocity > 0) CHECK(distance(steps[i], 0) <= axes[i].max_velocity / hz + 2);
        if (axes[i].max_acceleration > 0 && !frozen) {
            CHECK(distance(steps[i], steps_before[i]) <= axes[i].max_acceleration / hz / hz + 3);
        }
    }
}

static bool at_rest(void) {
    return firmware.state == HYT_STATE_STOPPED || firmware.state == HYT_STATE_DISARMED;
}

static void run(int round) {
    draw_config(round);
    boot(&config);
    uint32_t session = 1;
    uint16_t sequence = 0;
    uint32_t end = firmware.tick;
    int64_t steps[AXES] = {0};
    bool frozen = false;
    say_hello(session);
    for (int turn = 0; turn < 400; ++turn) {
        const int dice = random_between(0, 99);
        if (dice == 0) {
            static const uint8_t echo[HYT_STOP_SIZE];
            say(HYT_STOP, session, 0, echo, sizeof echo);
        } else if (dice == 1) {
            say(HYT_DISARM, session, ++sequence, NULL, 0);
        } else if (firmware.state == HYT_STATE_STOPPED && dice < 30) {
            say_hello(++session);
            sequence = 0;
        } else if (firmware.state != HYT_STATE_ARMED) {
            say(HYT_ARM, session, ++sequence, NULL, 0);
        } else if (dice < 40) {
            draw_chunk(session, ++sequence, &end);
        }
        // hold and release stop at once, as they were told to; the axis may be armed again before the next
        // tick.
        frozen = frozen || at_rest();
        const int ticks = random_between(0, 12);
        for (int i = 0; i < ticks; ++i) {
            int32_t before[AXES];
            int64_t steps_before[AXES];
            memcpy(before, setpoints, sizeof before);
            memcpy(steps_before, steps, sizeof steps);
            hyt_firmware_tick(&firmware, 1);
            const bool stopped = frozen || at_rest();
            check_limits(before, steps_before, steps,
                         stopped && config.stop_action != HYT_STOP_ACTION_DECELERATE);
            frozen = false;
        }
    }
}

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? atoi(argv[1]) : 800;
    for (int round = 0; round < rounds; ++round) run(round);
    CHECK(moved > 100u * (unsigned)rounds);
    return 0;
}
