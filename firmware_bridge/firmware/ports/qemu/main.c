// hyt-firmware-qemu: the firmware on an emulated LM3S6965, a Cortex-M3, in real time or in lockstep with a
// simulator.
//
// UART0 is the link. On UART1 it says "boot"; the simulator then says the options of options.h, one argument
// a line and an empty line at the end, is answered "ready", and gives the orders of console.h; setpoints go
// back as in the host port. Semihosting takes messages, the trace and the exit code to the computer.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "console.h"
#include "firmware.h"
#include "options.h"
#include "trace.h"
#include "uart.h"

#define MAX_ARGUMENTS 64
#define MAX_ARGUMENT_BYTES 4096

static struct hyt_firmware firmware;
static struct hyt_options options;
static int32_t setpoints[HYT_MAX_AXES];
static FILE* trace;
static bool pressed;

static bool transmit(void* context, const uint8_t* bytes, size_t size) {
    (void)context;
    hyt_uart_write(HYT_UART_LINK, bytes, size);
    return true;
}

static void output(void* context, const int32_t* values, uint8_t axes, bool enabled) {
    (void)context;
    (void)enabled;  // the trace and the telemetry tell it; there are no drives here to switch off
    memcpy(setpoints, values, axes * sizeof *values);
    if (trace != NULL) hyt_trace_tick(trace, &firmware, values);
}

static bool emergency_stop(void* context) {
    (void)context;
    return pressed;
}

static bool measure(void* context, int32_t* positions, uint8_t axes) {
    (void)context;
    (void)positions;
    (void)axes;
    return false;
}

static int busy(void) {
    return hyt_uart_pending(HYT_UART_LINK) || hyt_uart_pending(HYT_UART_CONSOLE);
}

// Adds what has come on the console to the line, up to its end. Returns the line once it is whole, else NULL.
// One too long is cut off, and is then no order.
static const char* console_line(void) {
    static char line[512];
    static size_t length;
    uint8_t byte;
    while (hyt_uart_read(HYT_UART_CONSOLE, &byte, 1) == 1) {
        if (byte == '\n') {
            line[length] = '\0';
            length = 0;
            return line;
        }
        if (length < sizeof line - 1) line[length++] = (char)byte;
    }
    return NULL;
}

static const char* next_line(void) {
    const char* line;
    while ((line = console_line()) == NULL) hyt_board_sleep(busy);
    return line;
}

// Fills the arguments from the console; exits when they are too many.
static int read_arguments(char** arguments) {
    static char text[MAX_ARGUMENT_BYTES];
    static char name[] = "hyt-firmware";
    size_t used = 0;
    int count = 0;
    arguments[count++] = name;
    for (const char* line = next_line(); *line != '\0'; line = next_line()) {
        const size_t size = strlen(line) + 1;
        if (count == MAX_ARGUMENTS || size > sizeof text - used) {
            fputs("hyt-firmware: too many arguments\n", stderr);
            exit(2);
        }
        arguments[count++] = memcpy(text + used, line, size);
        used += size;
    }
    arguments[count] = NULL;
    return count;
}

static void receive(void) {
    uint8_t bytes[256];
    const size_t count = hyt_uart_read(HYT_UART_LINK, bytes, sizeof bytes);
    hyt_firmware_receive(&firmware, bytes, count);
}

static void obey(const char* line) {
    const struct hyt_console_order order = hyt_console_parse(line);
    if (order.kind == HYT_CONSOLE_BAD) exit(2);
    if (order.kind == HYT_CONSOLE_RESET) hyt_board_reset();
    if (order.kind == HYT_CONSOLE_EMERGENCY_STOP) pressed = order.number == 1;
    if (order.kind != HYT_CONSOLE_ADVANCE || !options.lockstep) return;
    for (long i = 0; i < order.number; ++i) {
        hyt_firmware_tick(&firmware, 1);
        hyt_uart_write(HYT_UART_CONSOLE, setpoints, firmware.motion.axis_count * sizeof *setpoints);
    }
}

static void open_trace(void) {
    if (options.trace == NULL) return;
    trace = fopen(options.trace, "w");
    if (trace == NULL) {
        fprintf(stderr, "hyt-firmware: %s: %s\n", options.trace, strerror(errno));
        exit(2);
    }
    setvbuf(trace, NULL, _IOLBF, BUFSIZ);
    hyt_trace_begin(trace, &firmware);
}

int main(void) {
    static const struct hyt_hal hal = {NULL, transmit, output, emergency_stop, measure};
    static char* arguments[MAX_ARGUMENTS + 1];
    hyt_uart_open(HYT_UART_CONSOLE);
    hyt_uart_write(HYT_UART_CONSOLE, "boot\n", 5);
    const int count = read_arguments(arguments);
    if (hyt_options_parse(&options, "lm3s6965evb", count, arguments) != 0) return 2;
    uint8_t axis = 0;
    const enum hyt_config_error error = hyt_firmware_init(&firmware, &options.config, &hal, &axis);
    if (error != HYT_CONFIG_OK) return hyt_options_refused(&options, error, axis);
    open_trace();
    hyt_uart_open(HYT_UART_LINK);
    hyt_uart_write(HYT_UART_CONSOLE, "ready\n", 6);
    if (!options.lockstep) hyt_board_start_clock(options.config.tick_hz, options.clock_ppm);
    for (;;) {
        receive();
        const char* line = console_line();
        if (line != NULL) obey(line);
        if (!options.lockstep) hyt_firmware_tick(&firmware, hyt_board_ticks());
        hyt_board_sleep(busy);
    }
}
