// Servos: see servos.h.
#include "servos.h"

#include "registers.h"

#define PERIOD 20000u  // microseconds
#define ENABLE_PIN 13u

static void alternate_function_2(uint32_t port, uint32_t pin) {
    GPIO_AFRL(port) = (GPIO_AFRL(port) & ~(15u << (4 * pin))) | 2u << (4 * pin);
    GPIO_MODER(port) = (GPIO_MODER(port) & ~(3u << (2 * pin))) | 2u << (2 * pin);
}

void hyt_servos_open(uint32_t timer_hz) {
    RCC_AHB1ENR |= 3u;
    RCC_APB1ENR |= 1u << 1;
    GPIO_BSRR(GPIOB) = 1u << (ENABLE_PIN + 16);
    GPIO_MODER(GPIOB) = (GPIO_MODER(GPIOB) & ~(3u << (2 * ENABLE_PIN))) | 1u << (2 * ENABLE_PIN);
    alternate_function_2(GPIOA, 6);
    alternate_function_2(GPIOA, 7);
    alternate_function_2(GPIOB, 0);
    alternate_function_2(GPIOB, 1);
    TIM3_PSC = timer_hz / 1000000u - 1u;
    TIM3_ARR = PERIOD - 1u;
    // PWM mode 1 with preload, which takes a new pulse at the next period: no pulse is ever cut short.
    TIM3_CCMR1 = 0x6868u;
    TIM3_CCMR2 = 0x6868u;
    for (uint32_t i = 0; i < HYT_SERVOS; ++i) TIM3_CCR(i) = 0;
    TIM3_EGR = 1;
    TIM3_CCER = 0x1111u;
    TIM3_CR1 = 1u << 7 | 1u;
}

static uint32_t pulse(const struct hyt_servo* servo, int32_t setpoint) {
    const int64_t span = (int64_t)servo->high - servo->low;
    const int64_t pulses = (int64_t)servo->high_pulse - servo->low_pulse;
    return (uint32_t)(servo->low_pulse + ((int64_t)setpoint - servo->low) * pulses / span);
}

void hyt_servos_put(const struct hyt_servo* servos, const int32_t* setpoints, bool enabled) {
    for (uint32_t i = 0; i < HYT_SERVOS; ++i) {
        TIM3_CCR(i) = enabled ? pulse(&servos[i], setpoints[i]) : 0u;
    }
    GPIO_BSRR(GPIOB) = enabled ? 1u << ENABLE_PIN : 1u << (ENABLE_PIN + 16);
}
