// An axis keeps its limits whatever it is told, and follows exactly what they allow.
#include "axis.h"
#include "check.h"
#include "protocol_constants.h"

static struct hyt_axis_config config_of(int32_t low, int32_t high, int32_t velocity, int32_t acceleration) {
    return (struct hyt_axis_config){.name = "x",
                                    .unit = "m",
                                    .low = low,
                                    .high = high,
                                    .max_velocity = velocity,
                                    .max_acceleration = acceleration,
                                    .initial = random_between(low, high),
                                    .interpolation = HYT_INTERPOLATION_LINEAR};
}

static int64_t distance(int64_t a, int64_t b) {
    return a > b ? a - b : b - a;
}

// Limits of `config` per tick in fixed point, with the rounding that axis.h allows.
static void check_step(const struct hyt_axis_config* config, int64_t hz, int64_t velocity_before,
                       const struct hyt_axis* axis) {
    const int64_t one = HYT_FIXED_ONE;
    CHECK(axis->position >= config->low * one && axis->position <= config->high * one);
    if (config->max_velocity > 0) {
        CHECK(distance(axis->velocity, 0) <= config->max_velocity * one / hz + 1);
    }
    if (config->max_acceleration > 0) {
        const int64_t limit = config->max_acceleration * one / hz / hz;
        CHECK(distance(axis->velocity, velocity_before) <= (limit > 0 ? limit : 1));
    }
}

static void hostile_targets_never_break_a_limit(void) {
    for (int round = 0; round < 2000; ++round) {
        const int32_t low = random_between(-2000000000, 1000000000);
        const int32_t high = random_between(low, 2000000000);
        const int32_t velocity = round % 3 == 0 ? 0 : random_between(1, 1 << (round % 31));
        const int32_t acceleration = round % 5 == 0 ? 0 : random_between(1, 1 << (round % 29));
        const uint32_t hz = (uint32_t)random_between(1, 10000);
        const struct hyt_axis_config config = config_of(low, high, velocity, acceleration);
        struct hyt_axis axis;
        hyt_axis_init(&axis, &config, hz);
        int32_t target = config.initial;
        for (int tick = 0; tick < 300; ++tick) {
            const int64_t before = axis.velocity;
            if (random_u32() % 8 == 0) target = random_between(low, high);
            if (random_u32() % 16 == 0) {
                hyt_axis_brake(&axis);
            } else {
                hyt_axis_follow(&axis, (int64_t)target * HYT_FIXED_ONE);
            }
            check_step(&config, hz, before, &axis);
        }
    }
}

static void an_axis_without_acceleration_limit_is_where_it_is_told(void) {
    const struct hyt_axis_config config = config_of(-1000000, 1000000, 0, 0);
    struct hyt_axis axis;
    hyt_axis_init(&axis, &config, 400);
    for (int tick = 0; tick < 1000; ++tick) {
        const int32_t target = random_between(-1000000, 1000000);
        CHECK(!hyt_axis_follow(&axis, (int64_t)target * HYT_FIXED_ONE));
        CHECK(hyt_axis_setpoint(&axis) == target);
    }
}

static void a_velocity_limit_turns_a_jump_into_a_ramp(void) {
    struct hyt_axis_config config =
        config_of(-1000000, 1000000, 400000, 0);  // 1000 micro-units a tick at 400 Hz
    config.initial = 0;
    struct hyt_axis axis;
    hyt_axis_init(&axis, &config, 400);
    for (int32_t tick = 1; tick <= 10; ++tick) {
        CHECK(hyt_axis_follow(&axis, 10000 * HYT_FIXED_ONE) == (tick < 10));
        CHECK(hyt_axis_setpoint(&axis) == 1000 * tick);
    }
}

// Jumping the path to a point and letting the axis catch up: it never turns round, so it never passes the
// point.
static void a_point_at_rest_is_reached_without_passing_it(void) {
    for (int round = 0; round < 300; ++round) {
        const struct hyt_axis_config config =
            config_of(-1000000, 1000000, 0, random_between(100000, 100000000));
        struct hyt_axis axis;
        hyt_axis_init(&axis, &config, 100);
        axis.target = (int64_t)random_between(-1000000, 1000000) * HYT_FIXED_ONE;
        const int64_t target = axis.target;
        int64_t left = distance(target, axis.position);
        for (int tick = 0; tick < 20000 && left > 0; ++tick) {
            hyt_axis_follow(&axis, target);
            CHECK(distance(target, axis.position) < left);
            left = distance(target, axis.position);
        }
        CHECK(left == 0);
    }
}

static void braking_ends_at_rest_in_the_fewest_ticks(void) {
    struct hyt_axis_config config =
        config_of(-1000000, 1000000, 0, 4000000);  // 4 micro-units a tick, every tick
    config.initial = 0;
    struct hyt_axis axis;
    hyt_axis_init(&axis, &config, 1000);
    CHECK(axis.brake == 4 * HYT_FIXED_ONE);
    for (int tick = 0; tick < 10; ++tick) hyt_axis_follow(&axis, 1000000LL * HYT_FIXED_ONE);
    CHECK(axis.velocity == 10 * axis.brake);
    int ticks = 0;
    for (; axis.velocity != 0; ++ticks) hyt_axis_brake(&axis);
    CHECK(ticks == 10);
}

static void setpoints_round_to_the_nearest_on_both_sides_of_zero(void) {
    struct hyt_axis axis = {0};
    axis.position = HYT_FIXED_ONE / 2 - 1;
    CHECK(hyt_axis_setpoint(&axis) == 0);
    axis.position = -(HYT_FIXED_ONE / 2 - 1);
    CHECK(hyt_axis_setpoint(&axis) == 0);
    axis.position = -3 * HYT_FIXED_ONE;
    CHECK(hyt_axis_setpoint(&axis) == -3);
}

int main(void) {
    hostile_targets_never_break_a_limit();
    an_axis_without_acceleration_limit_is_where_it_is_told();
    a_velocity_limit_turns_a_jump_into_a_ramp();
    a_point_at_rest_is_reached_without_passing_it();
    braking_ends_at_rest_in_the_fewest_ticks();
    setpoints_round_to_the_nearest_on_both_sides_of_zero();
    return 0;
}
