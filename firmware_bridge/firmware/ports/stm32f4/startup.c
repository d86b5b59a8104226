// Vectors and the way to main; a fault resets the processor, which switches the outputs off.
#include <stdint.h>

#include "registers.h"
#include "uart.h"

// Addresses that link.ld sets.
extern uint32_t hyt_stack_top[];
extern uint32_t hyt_data_begin[];
extern uint32_t hyt_data_end[];
extern const uint32_t hyt_data_image[];
extern uint32_t hyt_bss_begin[];
extern uint32_t hyt_bss_end[];

int main(void);
void hyt_board_tick_interrupt(void);

_Noreturn static void on_fault(void) {
    RESET_CONTROL = 0x05fa0004u;
    for (;;) {
    }
}

_Noreturn static void on_reset(void) {
    const uint32_t* from = hyt_data_image;
    for (uint32_t* to = hyt_data_begin; to != hyt_data_end; ++to) *to = *from++;
    for (uint32_t* to = hyt_bss_begin; to != hyt_bss_end; ++to) *to = 0;
    (void)main();
    on_fault();
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t* stack_top;
    handler system[15];
    handler interrupts[39];
} vectors = {
    hyt_stack_top,
    {on_reset, on_fault, on_fault, on_fault, on_fault, on_fault, 0, 0, 0, 0, on_fault, on_fault, 0, on_fault,
     hyt_board_tick_interrupt},
    {[38] = hyt_uart_interrupt},
};
