"""Devices by name, each opened as often as the link needs it.

/dev/ttyACM0, /dev/serial/by-id/usb-...   a serial port by its path
by-id:TEXT                                the one port under /dev/serial/by-id whose name holds TEXT
tcp://HOST:PORT                           a serial server, or an emulator's UART
virtual:                                  the firmware as a program on this computer, started here, in real time
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from hyt.errors import InputError, LinkError
from hyt.firmware_bridge.port import Port, open_serial, open_tcp
from hyt.firmware_bridge.process import AxisConfig, FirmwareConfig, FirmwareProcess

BY_ID = Path("/dev/serial/by-id")


class Device(Protocol):
    """Where a firmware can be reached."""

    name: str

    def open(self, baudrate: int) -> Port:
        """Open it, again after it was lost; raises LinkError."""

    def close(self) -> None:
        """End what was started for it."""


class _Serial:
    def __init__(self, path: str) -> None:
        self.name = path

    def open(self, baudrate: int) -> Port:
        return open_serial(self.name, baudrate)

    def close(self) -> None:
        pass


class _ById(_Serial):
    def open(self, baudrate: int) -> Port:
        # Looked up anew at every opening: a device that was plugged into another socket has another name.
        return open_serial(str(by_id(self.name)), baudrate)


class _Tcp:
    def __init__(self, name: str) -> None:
        self.name = name
        try:
            address = urlsplit(name)
            host, port = address.hostname, address.port
        except ValueError:
            host = port = None
        if not host or not port:
            raise InputError(f"port {name}", expected="tcp://HOST:PORT", remedy="e.g. tcp://localhost:5555")
        self._host, self._port = host, port

    def open(self, baudrate: int) -> Port:
        return open_tcp(self.name, self._host, self._port)

    def close(self) -> None:
        pass


class _Virtual:
    def __init__(self, name: str) -> None:
        self.name = name
        axes = [AxisConfig(axis, "m", -1, 1, max_velocity=1, max_acceleration=4) for axis in "xy"]
        self._process = FirmwareProcess(FirmwareConfig(axes, link_timeout_ticks=400), lockstep=False)

    def open(self, baudrate: int) -> Port:
        return open_serial(self._process.port, baudrate)

    def close(self) -> None:
        self._process.close()


def find_device(name: str) -> Device:
    """The device of this name; raises InputError for a name that is none, LinkError when it cannot be started."""
    if not isinstance(name, str) or not name:
        raise InputError("port", expected="a path, by-id:TEXT, tcp://HOST:PORT or virtual:", received=repr(name))
    if name == "virtual:":
        return _Virtual(name)
    if name.startswith("tcp:"):
        return _Tcp(name)
    if name.startswith("by-id:"):
        return _ById(name)
    return _Serial(name)


def by_id(name: str) -> Path:
    """The one device that `by-id:TEXT` names; raises LinkError when there is none, or more than one."""
    text = name.removeprefix("by-id:")
    found = sorted(path for path in BY_ID.glob("*") if text in path.name)
    if len(found) != 1:
        raise LinkError(
            f"port {name}",
            expected=f"one device whose name holds {text!r}",
            received=", ".join(path.name for path in found) or "none",
            remedy=f"look for its name with `ls {BY_ID}`",
        )
    return found[0]
