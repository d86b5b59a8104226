// The board: see board.h. Registers: LM3S6965 data sheet, chapters 3 and 9; ARMv7-M reference manual, B3.
#include "board.h"

#include "uart.h"

#define CLOCK_HZ 12500000u  // what the emulated board runs at after a reset

#define REGISTER(address) (*(volatile uint32_t*)(address))
#define SYSTICK_CONTROL REGISTER(0xe000e010u)
#define SYSTICK_RELOAD REGISTER(0xe000e014u)
#define SYSTICK_VALUE REGISTER(0xe000e018u)
#define SYSTICK_MASK 0xffffffu
#define NVIC_ENABLE REGISTER(0xe000e100u)
#define RESET_CONTROL REGISTER(0xe000ed0cu)
#define RESET_REQUEST 0x05fa0004u
#define CLOCK_GATE_1 REGISTER(0x400fe104u)  // UARTs and timers
#define TIMER_CONFIG REGISTER(0x40030000u)
#define TIMER_MODE REGISTER(0x40030004u)
#define TIMER_CONTROL REGISTER(0x4003000cu)
#define TIMER_MASK REGISTER(0x40030018u)
#define TIMER_CLEAR REGISTER(0x40030024u)
#define TIMER_RELOAD REGISTER(0x40030028u)

#define IRQ_UART0 5u
#define IRQ_UART1 6u
#define IRQ_TIMER0A 19u

extern uint32_t hyt_stack_top;
void _start(void);

static uint32_t tick_hz;
static uint32_t second;  // clock cycles
static uint32_t last;    // SysTick, which counts down
static uint64_t passed;  // clock cycles x tick_hz that are no whole tick yet

static void on_timer(void) {
    TIMER_CLEAR = 1;
}

static void on_fault(void) {
    hyt_board_reset();
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t* stack_top;
    handler system[15];
    handler interrupts[IRQ_TIMER0A + 1];
} vectors = {
    &hyt_stack_top,
    {_start, on_fault, on_fault, on_fault, on_fault, on_fault},
    {[IRQ_UART0] = hyt_uart_link_interrupt,
     [IRQ_UART1] = hyt_uart_console_interrupt,
     [IRQ_TIMER0A] = on_timer},
};

void hyt_board_start_clock(uint32_t hz, int32_t ppm) {
    // As many true cycles make a second of a clock that runs fast.
    second = (uint32_t)(CLOCK_HZ - (int64_t)CLOCK_HZ * ppm / (1000000 + ppm));
    tick_hz = hz;
    SYSTICK_RELOAD = SYSTICK_MASK;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 5;  // processor clock, no interrupt
    last = SYSTICK_VALUE;
    TIMER_CONFIG = 0;  // 32 bits
    TIMER_MODE = 2;    // periodic
    TIMER_RELOAD = second / hz;
    TIMER_MASK = 1;
    TIMER_CONTROL = 1;
}

uint32_t hyt_board_ticks(void) {
    const uint32_t now = SYSTICK_VALUE;
    passed += (uint64_t)((last - now) & SYSTICK_MASK) * tick_hz;
    last = now;
    const uint32_t ticks = (uint32_t)(passed / second);
    passed %= second;
    return ticks;
}

void hyt_board_sleep(int (*busy)(void)) {
    // With interrupts masked one that comes still ends the sleep, and is served afterwards.
    __asm__ volatile("cpsid i" ::: "memory");
    if (!busy()) __asm__ volatile("wfi" ::: "memory");
    __asm__ volatile("cpsie i" ::: "memory");
}

void hyt_board_reset(void) {
    RESET_CONTROL = RESET_REQUEST;
    for (;;) {
    }
}

// Called by the C library's start-up code.
__attribute__((constructor)) static void start_board(void) {
    CLOCK_GATE_1 = 3u | 1u << 16;
    NVIC_ENABLE = 1u << IRQ_UART0 | 1u << IRQ_UART1 | 1u << IRQ_TIMER0A;
}
