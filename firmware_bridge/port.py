"""Opens a serial port for one owner, and says in one line why it cannot."""

from __future__ import annotations

import errno

import serial

from hyt.errors import LinkError

# Longer than the largest frame takes at 9600 baud; a port that takes no bytes for so long is gone.
WRITE_TIMEOUT = 3.0


def open_port(port: str, baudrate: int) -> serial.Serial:
    """The port, raw, locked against a second opener (flock), reads that never wait; raises LinkError."""
    try:
        return serial.Serial(port, baudrate, timeout=0, write_timeout=WRITE_TIMEOUT, exclusive=True)
    except (serial.SerialException, OSError) as error:
        raise _explained(port, error) from error
    except ValueError as error:
        raise LinkError(f"port {port}", expected="a baud rate the driver has", received=str(error)) from error


def _explained(port: str, error: OSError) -> LinkError:
    number = error.errno
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return LinkError(
            f"port {port}",
            expected="a serial port",
            received="no such device",
            remedy="plug it in, or look for its name with `ls /dev/serial/by-id`",
        )
    if number in (errno.EACCES, errno.EPERM):
        return LinkError(
            f"port {port}",
            expected="permission to open it",
            received="permission denied",
            remedy="add yourself to its group with `sudo usermod -aG dialout $USER` and log in again",
        )
    if number in (errno.EAGAIN, errno.EBUSY):
        return LinkError(
            f"port {port}",
            expected="a free port",
            received="it is in use by another program",
            remedy=f"end that program; `fuser -v {port}` names it",
        )
    return LinkError(f"port {port}", expected="a serial port", received=str(error), remedy="check the path")
