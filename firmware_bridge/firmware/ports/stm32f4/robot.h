// What this firmware is built for: the axes with their limits, the timers and the baud rate. Edit robot.c for
// your arm.
#ifndef HYT_STM32F4_ROBOT_H
#define HYT_STM32F4_ROBOT_H

#include "firmware.h"
#include "servos.h"

#define HYT_BAUD_RATE 460800u

// Its axes are driven by the servo of the same number.
extern const struct hyt_config hyt_robot;
extern const struct hyt_servo hyt_robot_servos[HYT_SERVOS];

#endif
