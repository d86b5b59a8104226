// An arm of four hobby servos: see robot.h.
#include "robot.h"

#define RADIAN HYT_MICRO
#define QUARTER_TURN 1570796  // micro-radians

static const struct hyt_axis_config axes[HYT_SERVOS] = {
    {.name = "base",
     .unit = "rad",
     .low = -QUARTER_TURN,
     .high = QUARTER_TURN,
     .max_velocity = 3 * RADIAN,
     .max_acceleration = 20 * RADIAN,
     .interpolation = HYT_INTERPOLATION_CUBIC},
    {.name = "shoulder",
     .unit = "rad",
     .low = -QUARTER_TURN,
     .high = QUARTER_TURN,
     .max_velocity = 2 * RADIAN,
     .max_acceleration = 10 * RADIAN,
     .interpolation = HYT_INTERPOLATION_CUBIC},
    {.name = "elbow",
     .unit = "rad",
     .low = -QUARTER_TURN,
     .high = QUARTER_TURN,
     .max_velocity = 3 * RADIAN,
     .max_acceleration = 20 * RADIAN,
     .interpolation = HYT_INTERPOLATION_CUBIC},
    {.name = "gripper",
     .unit = "1",
     .low = 0,
     .high = HYT_MICRO,
     .max_velocity = 5 * HYT_MICRO,
     .max_acceleration = 50 * HYT_MICRO,
     .interpolation = HYT_INTERPOLATION_LINEAR},
};

const struct hyt_config hyt_robot = {
    .tick_hz = 1000,
    .link_timeout_ticks = 200,
    .underrun_timeout_ticks = 2000,
    .stall_limit_ticks = 20,
    .stop_action = HYT_STOP_ACTION_DECELERATE,
    .axis_count = HYT_SERVOS,
    .port = "stm32f4",
    .axes = axes,
};

// Setpoints in the units of the axes above, and the pulses that stand for them.
const struct hyt_servo hyt_robot_servos[HYT_SERVOS] = {
    {-QUARTER_TURN, QUARTER_TURN, 600, 2400},
    {-QUARTER_TURN, QUARTER_TURN, 600, 2400},
    {-QUARTER_TURN, QUARTER_TURN, 600, 2400},
    {0, HYT_MICRO, 1000, 2000},
};
