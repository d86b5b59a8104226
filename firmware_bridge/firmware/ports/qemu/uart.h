// The PL011 UARTs of the LM3S6965: bytes in through a ring that an interrupt fills, bytes out at once. No
// byte is lost: while ring and FIFO are full, the emulator holds the sender back.
#ifndef HYT_QEMU_UART_H
#define HYT_QEMU_UART_H

#include <stddef.h>
#include <stdint.h>

enum hyt_uart {
    HYT_UART_LINK,     // UART0: the host's link
    HYT_UART_CONSOLE,  // UART1: the simulator's orders
    HYT_UARTS
};

// Switches a UART on.
void hyt_uart_open(enum hyt_uart uart);

// Moves at most `size` bytes that have arrived to `bytes`; returns how many.
size_t hyt_uart_read(enum hyt_uart uart, uint8_t* bytes, size_t size);

// Whether bytes wait in the ring.
int hyt_uart_pending(enum hyt_uart uart);

// Sends `size` bytes. The emulated UART takes each byte at once.
void hyt_uart_write(enum hyt_uart uart, const void* bytes, size_t size);

// The interrupt of each.
void hyt_uart_link_interrupt(void);
void hyt_uart_console_interrupt(void);

#endif
