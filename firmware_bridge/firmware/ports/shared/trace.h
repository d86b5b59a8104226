// The trace: one CSV line per tick, so that a test can count ticks instead of measuring time.
#ifndef HYT_HOST_TRACE_H
#define HYT_HOST_TRACE_H

#include <stdio.h>

#include "firmware.h"

// Writes the head: tick,state,trip,enabled,silence,NAME...; setpoints are in micro-units, silence is the
// number of ticks since the last good frame of the session.
void hyt_trace_begin(FILE* file, const struct hyt_firmware* firmware);

// Writes the line of the tick that was just run.
void hyt_trace_tick(FILE* file, const struct hyt_firmware* firmware, const int32_t* setpoints);

#endif
