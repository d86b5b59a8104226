// hyt-firmware-host: the firmware as a program, on a pseudo-terminal, in real time or in lockstep with a
// simulator.
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "options.h"
#include "port.h"
#include "trace.h"

static bool transmit(void* context, const uint8_t* bytes, size_t size) {
    struct hyt_port* port = context;
    return hyt_pty_send(&port->pty, bytes, size);
}

static void output(void* context, const int32_t* setpoints, uint8_t axes, bool enabled) {
    struct hyt_port* port = context;
    (void)enabled;  // the trace and the telemetry tell it; there are no drives here to switch off
    memcpy(port->setpoints, setpoints, axes * sizeof *setpoints);
    if (port->trace != NULL) hyt_trace_tick(port->trace, &port->firmware, setpoints);
}

static bool measure(void* context, int32_t* positions, uint8_t axes) {
    (void)context;
    (void)positions;
    (void)axes;
    return false;  // no sensors here: the simulator knows where its arm is
}

static bool emergency_stop(void* context) {
    return ((struct hyt_port*)context)->emergency_stop;
}

bool hyt_port_receive(struct hyt_port* port) {
    uint8_t bytes[4096];
    const size_t count = hyt_pty_read(&port->pty, bytes, sizeof bytes);
    hyt_firmware_receive(&port->firmware, bytes, count);
    return count > 0;
}

void hyt_port_announce(const struct hyt_port* port) {
    printf("%s\n", port->pty.path);
    fflush(stdout);
}

static int fail(const char* what, const char* why, int status) {
    fprintf(stderr, "hyt-firmware-host: %s: %s\n", what, why);
    return status;
}

int main(int argc, char** argv) {
    static struct hyt_port port;
    static struct hyt_options options;
    const int status = hyt_options_parse(&options, "host", argc, argv);
    if (status != 0) return status == 1 ? 0 : status;

    const struct hyt_hal hal = {&port, transmit, output, emergency_stop, measure};
    uint8_t axis = 0;
    const enum hyt_config_error error = hyt_firmware_init(&port.firmware, &options.config, &hal, &axis);
    if (error != HYT_CONFIG_OK) return hyt_options_refused(&options, error, axis);
    port.clock_ppm = options.clock_ppm;
    if (!hyt_pty_open(&port.pty)) return fail("pseudo-terminal", strerror(errno), 1);
    if (options.trace != NULL) {
        port.trace = fopen(options.trace, "w");
        if (port.trace == NULL) return fail(options.trace, strerror(errno), 2);
        setvbuf(port.trace, NULL, _IOLBF, 0);
        hyt_trace_begin(port.trace, &port.firmware);
    }
    // A simulator that went away is an end of input, not a signal.
    signal(SIGPIPE, SIG_IGN);
    const int result = options.lockstep ? hyt_run_lockstep(&port) : hyt_run_real_time(&port);
    if (port.trace != NULL) fclose(port.trace);
    return result;
}
