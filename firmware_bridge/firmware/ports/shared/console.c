// Orders of the simulator: see console.h.
#include "console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_ADVANCE 1000000

struct hyt_console_order hyt_console_parse(const char* line) {
    if (strcmp(line, "reset") == 0) return (struct hyt_console_order){HYT_CONSOLE_RESET, 0};
    if (strcmp(line, "estop 0") == 0) return (struct hyt_console_order){HYT_CONSOLE_EMERGENCY_STOP, 0};
    if (strcmp(line, "estop 1") == 0) return (struct hyt_console_order){HYT_CONSOLE_EMERGENCY_STOP, 1};
    if (strncmp(line, "advance ", 8) == 0) {
        char* end = NULL;
        const long ticks = strtol(line + 8, &end, 10);
        if (end != line + 8 && *end == '\0' && ticks >= 0 && ticks <= LONGEST_ADVANCE) {
            return (struct hyt_console_order){HYT_CONSOLE_ADVANCE, ticks};
        }
    }
    fprintf(stderr, "hyt-firmware: expected 'advance N', 'estop 0|1' or 'reset'; received '%s'\n", line);
    return (struct hyt_console_order){HYT_CONSOLE_BAD, 0};
}
