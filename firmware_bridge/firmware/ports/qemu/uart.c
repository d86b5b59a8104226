// UARTs: see uart.h. Registers: LM3S6965 data sheet, chapter 12.
#include "uart.h"

#include <stdbool.h>

#define RING 4096u        // a power of two
#define MOST_AT_ONCE 64u  // bytes

struct registers {
    volatile uint32_t data;  // 0x00
    uint32_t reserved0[5];
    volatile uint32_t flags;  // 0x18
    uint32_t reserved1[4];
    volatile uint32_t line;     // 0x2c
    volatile uint32_t control;  // 0x30
    uint32_t reserved2[1];
    volatile uint32_t mask;  // 0x38
    uint32_t reserved3[2];
    volatile uint32_t clear;  // 0x44
};

#define FLAG_RX_EMPTY (1u << 4)
#define FLAG_TX_FULL (1u << 5)
#define LINE_8N1_FIFO (3u << 5 | 1u << 4)
#define CONTROL_ON (1u << 9 | 1u << 8 | 1u)
#define INTERRUPT_RX (1u << 4)
#define INTERRUPT_TIMEOUT (1u << 6)

struct port {
    struct registers* registers;
    uint8_t ring[RING];
    volatile uint32_t written;  // by the interrupt
    volatile uint32_t read;     // by the main loop
    volatile bool more;         // bytes were left in the FIFO
};

static struct port ports[HYT_UARTS] = {
    {.registers = (struct registers*)0x4000c000u},
    {.registers = (struct registers*)0x4000d000u},
};

static void interrupt(struct port* port) {
    struct registers* const uart = port->registers;
    // Before the FIFO is emptied: the emulated UART raises its interrupt only when the first byte comes, so
    // that a clear afterwards would throw away the news of a byte that came in between, and reception would
    // hang.
    uart->clear = INTERRUPT_RX | INTERRUPT_TIMEOUT;
    // The emulator fills the FIFO again as it is emptied: a host that never pauses must not keep the main
    // loop away.
    for (uint32_t i = 0; (uart->flags & FLAG_RX_EMPTY) == 0; ++i) {
        if (i == MOST_AT_ONCE || port->written - port->read == RING) {
            port->more = true;
            return;
        }
        port->ring[port->written % RING] = (uint8_t)uart->data;
        port->written = port->written + 1;
    }
}

void hyt_uart_link_interrupt(void) {
    interrupt(&ports[HYT_UART_LINK]);
}

void hyt_uart_console_interrupt(void) {
    interrupt(&ports[HYT_UART_CONSOLE]);
}

void hyt_uart_open(enum hyt_uart uart) {
    struct registers* const registers = ports[uart].registers;
    registers->line = LINE_8N1_FIFO;
    registers->control = CONTROL_ON;
    registers->mask = INTERRUPT_RX | INTERRUPT_TIMEOUT;
}

size_t hyt_uart_read(enum hyt_uart uart, uint8_t* bytes, size_t size) {
    struct port* const port = &ports[uart];
    size_t count = 0;
    for (; count < size && port->read != port->written; ++count) {
        bytes[count] = port->ring[port->read % RING];
        port->read = port->read + 1;
    }
    if (port->more) {
        // No interrupt will come for the bytes that wait in the FIFO.
        __asm__ volatile("cpsid i" ::: "memory");
        port->more = false;
        interrupt(port);
        __asm__ volatile("cpsie i" ::: "memory");
    }
    return count;
}

int hyt_uart_pending(enum hyt_uart uart) {
    return ports[uart].more || ports[uart].read != ports[uart].written;
}

void hyt_uart_write(enum hyt_uart uart, const void* bytes, size_t size) {
    struct registers* const registers = ports[uart].registers;
    for (size_t i = 0; i < size; ++i) {
        while ((registers->flags & FLAG_TX_FULL) != 0) {
        }
        registers->data = ((const uint8_t*)bytes)[i];
    }
}
