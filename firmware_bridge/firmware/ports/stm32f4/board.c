// The board: see board.h.
#include "board.h"

#include "registers.h"

#define INNER_HZ 16000000u
#define FULL_HZ 84000000u
#define LONGEST_WAIT 200000u  // turns, some 50 ms at 16 MHz
#define STOP_PIN 12u

uint32_t hyt_board_clock_hz = INNER_HZ;
uint32_t hyt_board_bus_hz = INNER_HZ;
uint32_t hyt_board_timer_hz = INNER_HZ;

static volatile uint32_t ticks;
static uint32_t taken;

void hyt_board_tick_interrupt(void);
void hyt_board_tick_interrupt(void) {
    ticks = ticks + 1;
}

static bool wait_for(const volatile uint32_t* at, uint32_t mask, uint32_t value) {
    for (uint32_t i = 0; i < LONGEST_WAIT; ++i) {
        if ((*at & mask) == value) return true;
    }
    return false;
}

void hyt_board_start_clock(void) {
    RCC_CR |= 1u << 16 | 1u << 18;  // the outer clock, from another chip
    const bool outer = wait_for(&RCC_CR, 1u << 17, 1u << 17);
    if (!outer) RCC_CR &= ~(1u << 16 | 1u << 18);
    const uint32_t input = outer ? 4u : 8u;  // divides 8 or 16 MHz to 2 MHz
    // 2 MHz x 168 / 4 = 84 MHz
    RCC_PLLCFGR = input | 168u << 6 | 1u << 16 | (outer ? 1u : 0u) << 22 | 7u << 24;
    RCC_CR |= 1u << 24;
    if (!wait_for(&RCC_CR, 1u << 25, 1u << 25)) return;
    FLASH_ACR = 0x702u;        // 2 wait states, caches on
    RCC_CFGR = 4u << 10 | 2u;  // bus 1 at half the clock, and the switch
    if (!wait_for(&RCC_CFGR, 3u << 2, 2u << 2)) return;
    hyt_board_clock_hz = FULL_HZ;
    hyt_board_bus_hz = FULL_HZ / 2;
    hyt_board_timer_hz = FULL_HZ;
}

void hyt_board_start_ticks(uint32_t hz) {
    SYSTICK_RELOAD = hyt_board_clock_hz / hz - 1u;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7u;
    IWDG_KR = 0xccccu;
    IWDG_KR = 0x5555u;
    IWDG_PR = 0;     // 32 kHz / 4
    IWDG_RLR = 400;  // 50 ms
    hyt_board_feed();
}

void hyt_board_feed(void) {
    IWDG_KR = 0xaaaau;
}

uint32_t hyt_board_ticks(void) {
    const uint32_t now = ticks;
    const uint32_t due = now - taken;
    taken = now;
    return due;
}

void hyt_board_sleep(bool (*busy)(void)) {
    // With interrupts masked one that comes still ends the sleep, and is served afterwards.
    __asm__ volatile("cpsid i" ::: "memory");
    if (ticks == taken && !busy()) __asm__ volatile("wfi" ::: "memory");
    __asm__ volatile("cpsie i" ::: "memory");
}

void hyt_board_open_emergency_stop(void) {
    RCC_AHB1ENR |= 2u;
    GPIO_MODER(GPIOB) &= ~(3u << (2 * STOP_PIN));
    GPIO_PUPDR(GPIOB) = (GPIO_PUPDR(GPIOB) & ~(3u << (2 * STOP_PIN))) | 1u << (2 * STOP_PIN);
}

bool hyt_board_emergency_stop(void) {
    return (GPIO_IDR(GPIOB) & 1u << STOP_PIN) != 0;
}
