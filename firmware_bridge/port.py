"""An open port for one owner: a serial line or a TCP socket, read and written without waiting.

What it costs the caller to know is in `Port`; how a port is named and found is in device.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
from contextlib import suppress
from typing import Protocol

import serial

from hyt.errors import LinkError

BITS_PER_BYTE = 10  # start and stop bit included
CONNECT_TIMEOUT = 3.0  # seconds


class Port(Protocol):
    """Raw bytes to and from a firmware; every method raises OSError when the other side has gone."""

    name: str
    byte_time: float  # seconds that a byte takes; 0 where the line is faster than anyone would count
    low_latency: bool  # the driver hands over bytes at once; False where it does not say

    def fileno(self) -> int:
        """The descriptor to poll."""

    def read(self) -> bytes:
        """What has arrived, at least a byte; call it when there is something to read."""

    def write(self, data: bytes) -> int:
        """How many bytes the driver took, 0 when it is full."""

    def waiting(self) -> int:
        """Bytes that the driver has taken and not sent yet."""

    def discard_output(self) -> None:
        """Throw those bytes away, where the driver can."""

    def close(self) -> None:
        """Give the port back."""


class SerialPort:
    """A serial device, raw, locked against a second opener (flock)."""

    def __init__(self, path: str, baudrate: int) -> None:
        self.name = path
        self.byte_time = BITS_PER_BYTE / baudrate
        self._serial = serial.Serial(path, baudrate, timeout=0, exclusive=True)
        self.low_latency = False
        with suppress(ValueError, OSError):  # pseudo-terminals, ttyACM and others have no such setting
            self._serial.set_low_latency_mode(True)
            self.low_latency = True

    def fileno(self) -> int:
        """The descriptor to poll."""
        return int(self._serial.fd)

    def read(self) -> bytes:
        """What has arrived; raises OSError at the end of the line."""
        # Not by pyserial: its reads end in an exception of another kind while the port is being closed.
        data = os.read(self.fileno(), 65536)
        if not data:
            raise OSError(errno.ENODEV, "the device was unplugged or closed")
        return data

    def write(self, data: bytes) -> int:
        """How many bytes the driver took."""
        try:
            return os.write(self.fileno(), data)
        except BlockingIOError:
            return 0

    def waiting(self) -> int:
        """Bytes that the driver has taken and not sent yet."""
        return int(self._serial.out_waiting)

    def discard_output(self) -> None:
        """Throw those bytes away."""
        self._serial.reset_output_buffer()

    def close(self) -> None:
        """Give the port back."""
        with suppress(OSError, termios.error):
            self._serial.close()


class TcpPort:
    """A connection to a serial server, or to an emulator's UART."""

    byte_time = 0.0
    low_latency = True

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self._socket = socket.create_connection((host, port), timeout=CONNECT_TIMEOUT)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._socket.fileno()

    def read(self) -> bytes:
        """What has arrived; raises OSError when the other side has closed."""
        data = self._socket.recv(65536)
        if not data:
            raise OSError(errno.ECONNRESET, "the other side closed the connection")
        return data

    def write(self, data: bytes) -> int:
        """How many bytes the system took."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def waiting(self) -> int:
        """Bytes that have not been acknowledged by the other side's system."""
        (count,) = struct.unpack("i", fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, b"\0" * 4))
        return int(count)

    def discard_output(self) -> None:
        """Nothing: TCP takes no byte back. Few are in it, since the link keeps them few."""

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def open_serial(path: str, baudrate: int) -> SerialPort:
    """The serial port at `path`; raises LinkError that says in one line why it cannot be opened."""
    try:
        return SerialPort(path, baudrate)
    except (serial.SerialException, OSError, termios.error) as error:
        raise explained(path, error) from error
    except ValueError as error:
        raise LinkError(f"port {path}", expected="a baud rate the driver has", received=str(error)) from error


def open_tcp(name: str, host: str, port: int) -> TcpPort:
    """The connection to `host`:`port`; raises LinkError."""
    try:
        return TcpPort(name, host, port)
    except OSError as error:
        raise LinkError(
            f"port {name}",
            expected="a serial server that answers",
            received=str(error),
            remedy="check that it runs, its address and the firewall",
        ) from error


def explained(port: str, error: Exception) -> LinkError:
    """The operating system's refusal as one line with a remedy."""
    number = getattr(error, "errno", None)
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
