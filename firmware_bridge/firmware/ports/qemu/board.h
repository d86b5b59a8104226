// Time, interrupts and reset of the LM3S6965 as qemu-system-arm emulates it.
#ifndef HYT_QEMU_BOARD_H
#define HYT_QEMU_BOARD_H

#include <stdint.h>

// Starts the clock, `ppm` millionths too fast, and a timer that wakes hyt_board_sleep `hz` times a second.
void hyt_board_start_clock(uint32_t hz, int32_t ppm);

// Whole ticks of 1/hz that have passed since the last call, by a counter of its own, so that ticks are known
// to be lost when the emulator was held up. Right for pauses below 1.3 s; a longer one counts as a shorter
// one.
uint32_t hyt_board_ticks(void);

// Sleeps until an interrupt, unless `busy` says that there is work; an interrupt between the two is not
// missed.
void hyt_board_sleep(int (*busy)(void));

// Resets the processor. Does not return.
void hyt_board_reset(void);

#endif
