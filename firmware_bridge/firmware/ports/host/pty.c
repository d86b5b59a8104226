// The pseudo-terminal: see pty.h.
#include "pty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

bool hyt_pty_open(struct hyt_pty* pty) {
    memset(pty, 0, sizeof *pty);
    pty->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (pty->master < 0 || grantpt(pty->master) != 0 || unlockpt(pty->master) != 0) return false;
    if (ptsname_r(pty->master, pty->path, sizeof pty->path) != 0) return false;
    pty->slave = open(pty->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios attributes;
    if (pty->slave < 0 || tcgetattr(pty->slave, &attributes) != 0) return false;
    cfmakeraw(&attributes);
    return tcsetattr(pty->slave, TCSANOW, &attributes) == 0 && fcntl(pty->master, F_SETFL, O_NONBLOCK) == 0;
}

void hyt_pty_flush(struct hyt_pty* pty) {
    if (pty->waiting == 0) return;
    const ssize_t written = write(pty->master, pty->backlog, pty->waiting);
    if (written <= 0) return;
    pty->waiting -= (size_t)written;
    memmove(pty->backlog, pty->backlog + written, pty->waiting);
}

bool hyt_pty_send(struct hyt_pty* pty, const uint8_t* bytes, size_t size) {
    if (size > sizeof pty->backlog - pty->waiting) return false;
    memcpy(pty->backlog + pty->waiting, bytes, size);
    pty->waiting += size;
    hyt_pty_flush(pty);
    return true;
}

size_t hyt_pty_read(struct hyt_pty* pty, uint8_t* bytes, size_t size) {
    const ssize_t count = read(pty->master, bytes, size);
    return count > 0 ? (size_t)count : 0;
}
