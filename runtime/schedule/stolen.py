"""How much of this thread's time a hypervisor gave to other machines: what no program of this one can help.

Linux accounts a thread's time on a processor and its waiting for one, and leaves out of both what a hypervisor took
while it seemed to run (the steal time of /proc/stat, where the hypervisor tells it). What a thread that did not sleep
is missing of the clock's time was stolen. Nothing is told of one that did sleep, or waited for another thread.
"""

from __future__ import annotations

import resource
import threading
import time
from pathlib import Path


class StolenTime:
    """Watches the thread that makes it. Where the system keeps no such accounts nothing was stolen."""

    def __init__(self) -> None:
        path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._file = path.open("rb", buffering=0) if path.exists() else None
        self._began = self._read()

    def begin(self) -> None:
        """From here on."""
        self._began = self._read()

    def end(self) -> float:
        """Seconds since `begin` that were stolen; 0 where the thread slept meanwhile."""
        clock, accounted, sleeps = (now - before for now, before in zip(self._read(), self._began, strict=True))
        return 0.0 if sleeps else max(clock - accounted, 0.0)

    def _read(self) -> tuple[float, float, int]:
        """The clock, the thread's time on processors and waiting for one, in seconds, and how often it slept."""
        if self._file is None:
            return 0.0, 0.0, 0
        self._file.seek(0)
        _, waiting, _ = self._file.read().split()
        accounted = time.thread_time() + int(waiting) * 1e-9
        return time.monotonic(), accounted, resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

    def close(self) -> None:
        """Let go of the accounts."""
        if self._file is not None:
            self._file.close()
