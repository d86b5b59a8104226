// Command line of hyt-firmware-host: the firmware's configuration.
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

// Fills *options from the command line. On a bad one prints one line on standard error and returns 2; --help
// prints the usage and returns 1; otherwise returns 0.
int hyt_options_parse(struct hyt_options* options, int argc, char** argv);

#endif
