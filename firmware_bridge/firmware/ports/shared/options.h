// Command line of the ports that are told their configuration at the start.
#ifndef HYT_HOST_OPTIONS_H
#define HYT_HOST_OPTIONS_H

#include <stdbool.h>

#include "firmware.h"

struct hyt_options {
    struct hyt_config config;  // its axes point to `axes`
    struct hyt_axis_config axes[HYT_MAX_AXES];
    bool lockstep;
    const char* trace;  // path, or NULL
    int32_t clock_ppm;  // how much too fast the clock runs, in millionths
};

// Fills *options from the command line; `port` names what the firmware runs on. On a bad one prints one line
// on standard error and returns 2; --help prints the usage and returns 1; otherwise returns 0.
int hyt_options_parse(struct hyt_options* options, const char* port, int argc, char** argv);

// Prints why hyt_firmware_init refused the options, in one line on standard error, and returns 2.
int hyt_options_refused(const struct hyt_options* options, enum hyt_config_error error, uint8_t axis_index);

#endif
