"""The memory that a piece of work takes beyond page cache, which the system gives back whenever it wants to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_INTERVAL = 0.02  # seconds


@dataclass
class Peak:
    """The largest size that was seen, in bytes; None where the system does not tell."""

    bytes: int | None = None

    def see(self, size: int | None) -> None:
        """Count a size."""
        if size is not None:
            self.bytes = size if self.bytes is None else max(self.bytes, size)


def anonymous_memory(process: int | None = None) -> int | None:
    """Bytes of a process, this one without a number, that no file backs (RssAnon); None where Linux does not tell."""
    try:
        lines = Path(f"/proc/{process or 'self'}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), None)


@contextmanager
def watched_memory() -> Iterator[Peak]:
    """Look at this process's anonymous memory fifty times a second while the block runs."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(_INTERVAL):
            peak.see(anonymous_memory())

    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak.see(anonymous_memory())
