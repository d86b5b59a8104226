// What the simulator says to a firmware beside the link: one order a line.
#ifndef HYT_CONSOLE_H
#define HYT_CONSOLE_H

enum hyt_console_kind {
    HYT_CONSOLE_BAD,             // no order
    HYT_CONSOLE_ADVANCE,         // "advance N": run N ticks, 0..1000000
    HYT_CONSOLE_EMERGENCY_STOP,  // "estop 0" or "estop 1": release or press the emergency stop
    HYT_CONSOLE_RESET,           // "reset": boot again, where the port can
};

struct hyt_console_order {
    enum hyt_console_kind kind;
    long number;
};

// Reads one line without its end. A bad one is told on standard error in one line.
struct hyt_console_order hyt_console_parse(const char* line);

#endif
