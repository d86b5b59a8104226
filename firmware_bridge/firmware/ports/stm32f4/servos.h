// Four hobby servos on TIM3: PA6, PA7, PB0, PB1; and PB13, which is high while the outputs drive.
#ifndef HYT_STM32F4_SERVOS_H
#define HYT_STM32F4_SERVOS_H

#include <stdbool.h>
#include <stdint.h>

#define HYT_SERVOS 4

// A setpoint between `low` and `high` (micro-units) is a pulse between `low_pulse` and `high_pulse`
// (microseconds).
struct hyt_servo {
    int32_t low;
    int32_t high;
    uint16_t low_pulse;
    uint16_t high_pulse;
};

// Starts the timer with all pulses off. `timer_hz` is the clock of TIM3.
void hyt_servos_open(uint32_t timer_hz);

// Puts out the pulses for `setpoints` (HYT_SERVOS,), micro-units within each servo's range, from the next
// period on; or none, when not enabled: the servos then hold nothing.
void hyt_servos_put(const struct hyt_servo* servos, const int32_t* setpoints, bool enabled);

#endif
