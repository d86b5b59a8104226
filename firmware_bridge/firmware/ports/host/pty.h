// The pseudo-terminal that stands for the microcontroller's serial port.
#ifndef HYT_HOST_PTY_H
#define HYT_HOST_PTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Frames that the kernel has no room for wait here; what no longer fits is refused, as a UART's queue would.
#define HYT_PTY_BACKLOG 8192

struct hyt_pty {
    int master;
    int slave;  // kept open, so that the port survives hosts that come and go
    char path[128];
    uint8_t backlog[HYT_PTY_BACKLOG];
    size_t waiting;
};

// Opens a raw, non-blocking pseudo-terminal. Returns false with errno set when the system has none to give.
bool hyt_pty_open(struct hyt_pty* pty);

// Sends all of `bytes` or none of it; returns whether it did. Never blocks.
bool hyt_pty_send(struct hyt_pty* pty, const uint8_t* bytes, size_t size);

// Hands waiting bytes to the kernel as far as it takes them.
void hyt_pty_flush(struct hyt_pty* pty);

// Reads at most `size` bytes; returns how many, 0 when there is nothing now.
size_t hyt_pty_read(struct hyt_pty* pty, uint8_t* bytes, size_t size);

#endif
