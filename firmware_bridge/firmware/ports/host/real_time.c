// Real time: ticks pass by the monotonic clock; bytes are heard as soon as they arrive.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include "port.h"

#define SECOND 1000000000LL  // in nanoseconds
#define MILLION 1000000LL

static volatile sig_atomic_t finished;
static volatile bool* emergency_stop;

static void on_signal(int number) {
    if (number == SIGUSR1) {
        *emergency_stop = true;
    } else if (number == SIGUSR2) {
        *emergency_stop = false;
    } else {
        finished = 1;
    }
}

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

// Nanoseconds that `ticks` ticks last, and ticks in `ns` nanoseconds; whole seconds apart, so that neither
// overflows.
static int64_t duration_ns(int64_t ticks, int64_t hz) {
    return ticks / hz * SECOND + ticks % hz * SECOND / hz;
}
static int64_t whole_ticks(int64_t ns, int64_t hz) {
    return ns / SECOND * hz + ns % SECOND * hz / SECOND;
}

// The clock as a crystal that is `ppm` millionths fast would show it, and the true time at which it shows
// `ns`.
static int64_t drifted_ns(int64_t ns, int64_t ppm) {
    return ns + ns / MILLION * ppm;
}
static int64_t true_ns(int64_t ns, int64_t ppm) {
    return ns - ns / (MILLION + ppm) * ppm;
}

static void wait_until(struct hyt_port* port, int64_t deadline, const sigset_t* open_signals) {
    const int64_t left = deadline - now_ns();
    const struct timespec timeout = {.tv_sec = left > 0 ? left / SECOND : 0,
                                     .tv_nsec = left > 0 ? left % SECOND : 0};
    struct pollfd file = {.fd = port->pty.master,
                          .events = (short)(POLLIN | (port->pty.waiting > 0 ? POLLOUT : 0))};
    // Signals are let in here alone, so that none is lost between a look at `finished` and the wait.
    ppoll(&file, 1, &timeout, open_signals);
}

int hyt_run_real_time(struct hyt_port* port) {
    const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
    const struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    sigset_t open_signals;
    emergency_stop = &port->emergency_stop;
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i) {
        sigaddset(&blocked, numbers[i]);
        sigaction(numbers[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &blocked, &open_signals);
    hyt_port_announce(port);

    const int64_t hz = port->firmware.config.tick_hz;
    const int64_t ppm = port->clock_ppm;
    const int64_t start = now_ns();
    int64_t ticks = 0;  // run or skipped since `start`
    while (!finished) {
        // Ticks are counted from the start, so that rounding of the period adds up to nothing.
        wait_until(port, start + true_ns(duration_ns(ticks + 1, hz), ppm), &open_signals);
        hyt_pty_flush(&port->pty);
        hyt_port_receive(port);
        const int64_t due = whole_ticks(drifted_ns(now_ns() - start, ppm), hz) - ticks;
        if (due > 0) hyt_firmware_tick(&port->firmware, (uint32_t)due);
        ticks += due > 0 ? due : 0;
    }
    return 0;
}
