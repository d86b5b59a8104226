// USART2 on PA2 (out) and PA3 (in): on a Nucleo board the USB port of its ST-LINK.
#ifndef HYT_STM32F4_UART_H
#define HYT_STM32F4_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Switches it on; `clock_hz` is the clock of its bus.
void hyt_uart_open(uint32_t clock_hz, uint32_t baud_rate);

// Moves at most `size` bytes that have arrived to `bytes`; returns how many.
size_t hyt_uart_read(uint8_t* bytes, size_t size);

// Bytes lost or broken since the last call: no room, overrun, noise, framing.
uint32_t hyt_uart_errors(void);

// Whether bytes wait to be read.
bool hyt_uart_pending(void);

// Takes all of `size` bytes to send, or none and returns false. Does not wait.
bool hyt_uart_send(const uint8_t* bytes, size_t size);

// The interrupt.
void hyt_uart_interrupt(void);

#endif
