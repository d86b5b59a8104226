// One axis: follows a target under position, velocity and acceleration limits, and brakes to rest, in fixed
// point.
//
// Positions are int32 micro-units on the wire and int64 in 1/4096 micro-unit here; velocities are per tick
// and accelerations per tick squared, so a tick costs no division by the tick rate and no floating point.
//
// What is promised of every setpoint that leaves an axis, whatever its targets are:
//
//   1. low <= setpoint <= high.
//
//   2. It moves by at most max_velocity / tick_hz in a tick, to the rounding of the wire (1 micro-unit).
//
//   3. That step changes by at most max_acceleration / tick_hz^2 a tick, to the same rounding; not so in
//      hyt_axis_freeze, which stops within one tick because it was configured to.
//
// A limit of 0 is no limit.
#ifndef HYT_AXIS_H
#define HYT_AXIS_H

#include <stdbool.h>
#include <stdint.h>

#define HYT_FIXED_ONE 4096  // fixed-point steps in a micro-unit

struct hyt_axis_config {
    char name[16];             // ASCII, padded with zero bytes
    char unit[8];              // ASCII, padded with zero bytes
    int32_t low;               // micro-unit
    int32_t high;              // micro-unit, >= low
    int32_t max_velocity;      // micro-unit/s; 0: no limit
    int32_t max_acceleration;  // micro-unit/s^2; 0: no limit
    int32_t initial;           // micro-unit, the setpoint at boot, low..high
    uint8_t interpolation;     // enum hyt_interpolation
};

struct hyt_axis {
    int64_t low;           // fixed
    int64_t high;          // fixed
    int64_t velocity_max;  // fixed/tick; 0: no limit
    int64_t brake;         // fixed/tick^2; 0: no limit
    int64_t brake_room;  // fixed: from any step within both limits the axis stops in less; INT64_MAX: unknown
    int64_t target;      // fixed, where the path is
    int64_t pace;        // fixed/tick, the last step of the path
    int64_t position;    // fixed, where the setpoint is
    int64_t velocity;    // fixed/tick, the last step of the position
};

// Sets the axis to rest at config->initial. Cannot fail on a config that hyt_firmware_init accepts.
void hyt_axis_init(struct hyt_axis* axis, const struct hyt_axis_config* config, uint32_t tick_hz);

// Moves one tick along a path that is now at `target` (fixed, low..high). Without an acceleration limit the
// position is the target or as near as the velocity limit lets it come; with one, the axis also catches up
// with the path no faster than it could brake. Returns whether a limit kept it off the target. Bounded: at
// most 3 square roots of 25 turns each, none while the axis is on its path and further from both ends than it
// brakes.
bool hyt_axis_follow(struct hyt_axis* axis, int64_t target);

// Slows down one tick at the acceleration limit, at once without one; the path becomes the axis' own.
void hyt_axis_brake(struct hyt_axis* axis);

// Stops in this tick whatever the acceleration limit; the path becomes the axis' own.
void hyt_axis_freeze(struct hyt_axis* axis);

// The setpoint in micro-units, rounded to the nearest.
int32_t hyt_axis_setpoint(const struct hyt_axis* axis);

#endif
