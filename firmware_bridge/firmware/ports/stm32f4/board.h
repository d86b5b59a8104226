// Clock, ticks, watchdog, sleep and the emergency stop input of an STM32F4.
#ifndef HYT_STM32F4_BOARD_H
#define HYT_STM32F4_BOARD_H

#include <stdbool.h>
#include <stdint.h>

// The processor's clock in Hz. The bus of the UART runs at hyt_board_bus_hz, its timers at twice that unless
// both are the processor's.
extern uint32_t hyt_board_clock_hz;
extern uint32_t hyt_board_bus_hz;
extern uint32_t hyt_board_timer_hz;

// 84 MHz from an 8 MHz clock at OSC_IN (on a Nucleo the ST-LINK's), from the inner oscillator where there is
// none; and where the PLL does not lock, the inner oscillator's 16 MHz. Waits a bounded time.
void hyt_board_start_clock(void);

// Starts the ticks, and a watchdog that resets the processor when hyt_board_feed is not called for 50 ms;
// after a reset the outputs are off and the link has no session.
void hyt_board_start_ticks(uint32_t hz);
void hyt_board_feed(void);

// Ticks that have passed since the last call.
uint32_t hyt_board_ticks(void);

// Sleeps until an interrupt, unless a tick is due or `busy` says that there is work; no interrupt is missed.
void hyt_board_sleep(bool (*busy)(void));

// Whether the contact between PB12 and ground is open: pressed, not wired, or torn off.
bool hyt_board_emergency_stop(void);
void hyt_board_open_emergency_stop(void);

#endif
