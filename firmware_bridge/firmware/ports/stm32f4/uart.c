// The UART: see uart.h. Each ring has one writer and one reader, the interrupt and the main loop.
#include "uart.h"

#include "registers.h"

#define RING 4096u  // a power of two; more than the largest frame
#define INTERRUPT 38u

#define STATUS_ERRORS 0x0fu  // parity, framing, noise, overrun
#define STATUS_RECEIVED (1u << 5)
#define STATUS_CAN_SEND (1u << 7)
#define CONTROL_ON (1u << 13 | 1u << 3 | 1u << 2)
#define CONTROL_RECEIVE_INTERRUPT (1u << 5)
#define CONTROL_SEND_INTERRUPT (1u << 7)

struct ring {
    uint8_t bytes[RING];
    volatile uint32_t written;
    volatile uint32_t read;
};

static struct ring received;
static struct ring sending;
static volatile uint32_t errors;  // since the start; wraps

void hyt_uart_open(uint32_t clock_hz, uint32_t baud_rate) {
    RCC_AHB1ENR |= 1u;
    RCC_APB1ENR |= 1u << 17;
    GPIO_AFRL(GPIOA) = (GPIO_AFRL(GPIOA) & ~0xff00u) | 0x7700u;
    GPIO_MODER(GPIOA) = (GPIO_MODER(GPIOA) & ~0xf0u) | 0xa0u;
    USART2_BRR = (clock_hz + baud_rate / 2) / baud_rate;
    USART2_CR1 = CONTROL_ON | CONTROL_RECEIVE_INTERRUPT;
    NVIC_ENABLE(INTERRUPT) = 1u << (INTERRUPT % 32u);
}

static void receive(uint32_t status) {
    if ((status & STATUS_ERRORS) != 0) errors = errors + 1;
    if ((status & (STATUS_RECEIVED | STATUS_ERRORS)) == 0) return;
    const uint8_t byte = (uint8_t)USART2_DR;  // also clears the errors
    if ((status & STATUS_RECEIVED) == 0) return;
    if (received.written - received.read == RING) {
        errors = errors + 1;
        return;
    }
    received.bytes[received.written % RING] = byte;
    received.written = received.written + 1;
}

// Hands over a byte if the UART takes one, and asks for an interrupt while more wait. Interrupts must be
// masked.
static bool send_one(void) {
    if (sending.read == sending.written) {
        USART2_CR1 = CONTROL_ON | CONTROL_RECEIVE_INTERRUPT;
        return false;
    }
    USART2_CR1 = CONTROL_ON | CONTROL_RECEIVE_INTERRUPT | CONTROL_SEND_INTERRUPT;
    if ((USART2_SR & STATUS_CAN_SEND) == 0) return false;
    USART2_DR = sending.bytes[sending.read % RING];
    sending.read = sending.read + 1;
    return true;
}

void hyt_uart_interrupt(void) {
    receive(USART2_SR);
    (void)send_one();
}

size_t hyt_uart_read(uint8_t* bytes, size_t size) {
    size_t count = 0;
    for (; count < size && received.read != received.written; ++count) {
        bytes[count] = received.bytes[received.read % RING];
        received.read = received.read + 1;
    }
    return count;
}

uint32_t hyt_uart_errors(void) {
    static uint32_t told;
    const uint32_t now = errors;
    const uint32_t fresh = now - told;
    told = now;
    return fresh;
}

bool hyt_uart_pending(void) {
    return received.read != received.written;
}

bool hyt_uart_send(const uint8_t* bytes, size_t size) {
    if (size > RING - (sending.written - sending.read)) return false;
    for (size_t i = 0; i < size; ++i) sending.bytes[(sending.written + i) % RING] = bytes[i];
    sending.written = sending.written + size;
    __asm__ volatile("cpsid i" ::: "memory");
    for (size_t i = 0; i < size && send_one(); ++i) {
    }
    __asm__ volatile("cpsie i" ::: "memory");
    return true;
}
