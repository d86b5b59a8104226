// Lockstep: ticks pass when the simulator on standard input asks for them, and only then.
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "port.h"

static bool write_all(const void* data, size_t size) {
    const char* bytes = data;
    while (size > 0) {
        const ssize_t written = write(STDOUT_FILENO, bytes, size);
        if (written < 0 && errno != EINTR) return false;
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
    return true;
}

static bool advance(struct hyt_port* port, long ticks) {
    int32_t rows[256 * HYT_MAX_AXES];
    const size_t axes = port->firmware.motion.axis_count;
    size_t filled = 0;
    for (long i = 0; i < ticks; ++i) {
        hyt_firmware_tick(&port->firmware, 1);
        memcpy(rows + filled, port->setpoints, axes * sizeof *rows);
        filled += axes;
        if (filled + axes > sizeof rows / sizeof *rows || i + 1 == ticks) {
            if (!write_all(rows, filled * sizeof *rows)) return false;
            filled = 0;
        }
    }
    return true;
}

// Obeys one line; returns 0 to go on, else an exit code.
static int obey(struct hyt_port* port, const char* line) {
    const struct hyt_console_order order = hyt_console_parse(line);
    switch (order.kind) {
        case HYT_CONSOLE_EMERGENCY_STOP:
            port->emergency_stop = order.number == 1;
            return 0;
        case HYT_CONSOLE_ADVANCE:
            // Everything that was said before the ticks is heard before them.
            while (hyt_port_receive(port)) {
            }
            return advance(port, order.number) ? 0 : 1;
        default:
            return 2;
    }
}

// Obeys every whole line in `text`, and leaves the unfinished rest at its beginning. Returns 0 or an exit
// code.
static int obey_lines(struct hyt_port* port, char* text, size_t* length) {
    char* line = text;
    char* end;
    while ((end = memchr(line, '\n', *length - (size_t)(line - text))) != NULL) {
        *end = '\0';
        const int status = obey(port, line);
        if (status != 0) return status;
        line = end + 1;
    }
    *length -= (size_t)(line - text);
    memmove(text, line, *length);
    return 0;
}

int hyt_run_lockstep(struct hyt_port* port) {
    char text[256];
    size_t length = 0;
    hyt_port_announce(port);
    for (;;) {
        struct pollfd files[2] = {
            {.fd = STDIN_FILENO, .events = POLLIN},
            {.fd = port->pty.master, .events = (short)(POLLIN | (port->pty.waiting > 0 ? POLLOUT : 0))},
        };
        if (poll(files, 2, -1) < 0 && errno != EINTR) return 1;
        hyt_pty_flush(&port->pty);
        hyt_port_receive(port);
        if ((files[0].revents & (POLLIN | POLLHUP)) == 0) continue;
        const ssize_t count = read(STDIN_FILENO, text + length, sizeof text - 1 - length);
        if (count == 0) return 0;
        if (count < 0) continue;
        length += (size_t)count;
        const int status = obey_lines(port, text, &length);
        if (status != 0) return status;
        if (length == sizeof text - 1) {
            text[length] = '\0';
            return obey(port, text);
        }
    }
}
