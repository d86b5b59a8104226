// One axis: see axis.h.
#include "axis.h"

static int64_t at_most(int64_t value, int64_t limit) {
    return value < limit ? value : limit;
}
static int64_t at_least(int64_t value, int64_t limit) {
    return value > limit ? value : limit;
}
static int64_t magnitude(int64_t value) {
    return value < 0 ? -value : value;
}

// Floor of the square root of a value below 2^50, one bit of the result a turn, without multiplication.
static uint64_t square_root(uint64_t value) {
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 48; bit > 0; bit >>= 2) {
        const uint64_t trial = root + bit;
        root >>= 1;
        if (value >= trial) {
            value -= trial;
            root += bit;
        }
    }
    return root;
}

// The fastest step from which an axis that loses `brake` a tick still stops within `room`, that step
// included. From n * brake + f it covers brake * n * (n + 1) / 2 + (n + 1) * f: take the largest n that fits,
// then the largest f. Room is at most 2^44, the width of int32 in fixed point.
static int64_t fastest_step(int64_t room, int64_t brake) {
    if (room < brake) return room;
    const uint64_t triangles = (uint64_t)(room / brake);
    const int64_t n = (int64_t)((square_root(8 * triangles + 1) - 1) / 2);
    return n * brake + (room - brake * (n * (n + 1) / 2)) / (n + 1);
}

// Room within which an axis stops from `speed`, that step included: at least what fastest_step asks for.
static int64_t room_to_brake(int64_t speed, int64_t brake) {
    if (brake == 0) return speed;
    if (speed == 0) return INT64_MAX;
    const int64_t ticks = speed / brake + 1;
    return ticks > INT64_MAX / 2 / speed ? INT64_MAX : ticks * speed;
}

void hyt_axis_init(struct hyt_axis* axis, const struct hyt_axis_config* config, uint32_t tick_hz) {
    const int64_t hz = (int64_t)tick_hz;
    axis->low = (int64_t)config->low * HYT_FIXED_ONE;
    axis->high = (int64_t)config->high * HYT_FIXED_ONE;
    // Rounded up, so that a path at exactly the limit is followed exactly.
    axis->velocity_max = ((int64_t)config->max_velocity * HYT_FIXED_ONE + hz - 1) / hz;
    // Rounded down to stay within the limit, but never to 0, which would be no limit.
    axis->brake = (int64_t)config->max_acceleration * HYT_FIXED_ONE / hz / hz;
    if (axis->brake == 0 && config->max_acceleration > 0) axis->brake = 1;
    axis->brake_room = room_to_brake(axis->velocity_max, axis->brake);
    axis->target = (int64_t)config->initial * HYT_FIXED_ONE;
    axis->pace = 0;
    axis->position = axis->target;
    axis->velocity = 0;
}

bool hyt_axis_follow(struct hyt_axis* axis, int64_t target) {
    int64_t step = target - axis->position;
    if (axis->brake > 0) {
        const int64_t lag = axis->target - axis->position;
        const int64_t catch_up = lag == 0 ? 0 : fastest_step(magnitude(lag), axis->brake);
        step = (target - axis->target) + (lag < 0 ? -catch_up : catch_up);
        step = at_most(at_least(step, axis->velocity - axis->brake), axis->velocity + axis->brake);
    }
    if (axis->velocity_max > 0) step = at_most(at_least(step, -axis->velocity_max), axis->velocity_max);
    // These bounds and the ones above always leave a step to take: the last step left room to brake.
    int64_t up = axis->high - axis->position;
    int64_t down = axis->position - axis->low;
    if (axis->brake > 0) {
        if (up < axis->brake_room) up = fastest_step(up, axis->brake);
        if (down < axis->brake_room) down = fastest_step(down, axis->brake);
    }
    step = at_most(at_least(step, -down), up);
    axis->pace = target - axis->target;
    axis->target = target;
    axis->position += step;
    axis->velocity = step;
    return axis->position != target;
}

void hyt_axis_brake(struct hyt_axis* axis) {
    const int64_t loss =
        axis->brake > 0 ? at_most(axis->brake, magnitude(axis->velocity)) : magnitude(axis->velocity);
    axis->velocity += axis->velocity > 0 ? -loss : loss;
    axis->position += axis->velocity;
    axis->target = axis->position;
    axis->pace = axis->velocity;
}

void hyt_axis_freeze(struct hyt_axis* axis) {
    axis->velocity = 0;
    axis->target = axis->position;
    axis->pace = 0;
}

int32_t hyt_axis_setpoint(const struct hyt_axis* axis) {
    const int64_t half = axis->position < 0 ? -HYT_FIXED_ONE / 2 : HYT_FIXED_ONE / 2;
    return (int32_t)((axis->position + half) / HYT_FIXED_ONE);
}
