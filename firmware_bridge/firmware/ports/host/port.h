// What the two ways of running share: the firmware, its pseudo-terminal and its HAL on this computer.
#ifndef HYT_HOST_PORT_H
#define HYT_HOST_PORT_H

#include <stdbool.h>
#include <stdio.h>

#include "firmware.h"
#include "pty.h"

struct hyt_port {
    struct hyt_firmware firmware;
    struct hyt_pty pty;
    FILE* trace;                      // or NULL
    volatile bool emergency_stop;     // the input of the HAL
    int32_t clock_ppm;                // how much too fast the clock runs in real time, in millionths
    int32_t setpoints[HYT_MAX_AXES];  // of the last tick, micro-units
};

// Hands the bytes that have arrived, at most a block of them, to the firmware; returns whether there were
// any.
bool hyt_port_receive(struct hyt_port* port);

// Prints the port's path, which says that the program is ready: for commands and for signals.
void hyt_port_announce(const struct hyt_port* port);

// Runs on standard input and output until the input ends; returns the exit code.
int hyt_run_lockstep(struct hyt_port* port);

// Runs by the clock until SIGTERM or SIGINT; returns the exit code.
int hyt_run_real_time(struct hyt_port* port);

#endif
