"""A cable that can be pulled: a pseudo-terminal under a fixed name, connected to a firmware's port or to nothing."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import tty
from pathlib import Path


class Cable:
    """`port` is the path that a host opens; it is there while the cable is plugged in. proxy.py has the bad wires."""

    def __init__(self, folder: Path, firmware_port: str) -> None:
        self.port = str(folder / "ttyCable")
        self._thread: threading.Thread | None = None
        self._stop_read, self._stop_write = os.pipe()
        self.plug(firmware_port)

    def plug(self, firmware_port: str) -> None:
        """Connect a firmware, the same or another, under the same name."""
        far = os.open(firmware_port, os.O_RDWR | os.O_NOCTTY)
        self._far = far
        near, slave = pty.openpty()
        tty.setraw(slave)
        Path(self.port).symlink_to(os.ttyname(slave))
        self._thread = threading.Thread(target=self._relay, args=(near, slave, far), daemon=True)
        self._thread.start()

    def swap(self, firmware_port: str) -> None:
        """Put another firmware behind the line while it stays up, as a reset of the microcontroller does."""
        os.dup2(os.open(firmware_port, os.O_RDWR | os.O_NOCTTY), self._far)

    def pull(self) -> None:
        """Take the device away, as unplugging does: its name is gone and the host's end hangs up."""
        if self._thread is not None:
            os.write(self._stop_write, b"\0")
            self._thread.join()
            self._thread = None

    def _relay(self, near: int, slave: int, far: int) -> None:
        ends = {near: far, far: near}
        while True:
            ready, _, _ = select.select([near, far, self._stop_read], [], [])
            if self._stop_read in ready:
                os.read(self._stop_read, 1)
                break
            with contextlib.suppress(OSError):
                for end in ready:
                    os.write(ends[end], os.read(end, 4096))
        os.unlink(self.port)
        for end in (near, slave, far):
            os.close(end)
