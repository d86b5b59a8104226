// The trace: see trace.h.
#include "trace.h"

#include <inttypes.h>

void hyt_trace_begin(FILE* file, const struct hyt_firmware* firmware) {
    fputs("tick,state,trip,enabled,silence", file);
    for (uint8_t i = 0; i < firmware->motion.axis_count; ++i) {
        fprintf(file, ",%.*s", (int)sizeof firmware->motion.config[i].name, firmware->motion.config[i].name);
    }
    fputc('\n', file);
}

void hyt_trace_tick(FILE* file, const struct hyt_firmware* firmware, const int32_t* setpoints) {
    fprintf(file, "%" PRIu32 ",%u,%u,%u,%" PRIu32, firmware->tick, firmware->state, firmware->trip,
            firmware->enabled, firmware->tick - firmware->session.heard_tick);
    for (uint8_t i = 0; i < firmware->motion.axis_count; ++i) fprintf(file, ",%" PRId32, setpoints[i]);
    fputc('\n', file);
}
