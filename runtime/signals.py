"""Signals that end a run in order: the first leaves as Ctrl-C does, so that the robot comes to rest and is disarmed.

SIGINT is the user's Ctrl-C, SIGTERM what `systemctl stop` sends, SIGHUP that the terminal or the network went away.
The exit code is 128 + the signal's number, as a shell has it: 130, 143, 129.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

from hyt.errors import HytError

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 10.0  # seconds for coming to an end, in which further signals change nothing


class Interrupts:
    """In its block the signals of ENDING raise KeyboardInterrupt in the main thread; `first` is the one that did.

    An impatient second one must not cut off what the first one set going: disarming. A signal that the starter wants
    ignored stays so, as under nohup. In another thread than the main one it does nothing.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._since = 0.0
        self._over = False
        self._before: dict[signal.Signals, Any] = {}
        self._lock = threading.Lock()
        self._at_once: Callable[[], None] | None = None
        self._woken = self._waker = -1

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._woken, self._waker = os.pipe()
            os.set_blocking(self._waker, False)
            signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
            threading.Thread(target=self._watch, name="hyt signals", daemon=True).start()
            for number in ENDING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After the first signal the process is about to end, and its exit code is to say so, not a second one's.
        for number, handler in self._before.items():
            signal.signal(number, handler if self.first is None else signal.SIG_IGN)
        if self._waker >= 0:
            signal.set_wakeup_fd(-1)
            os.close(self._waker)

    @contextmanager
    def at_once(self, action: Callable[[], None]) -> Iterator[None]:
        """In this block a signal also calls `action`, in a thread: the main one may be in a long answer of the core.

        An exception is raised there only when that answer is complete; a HytError of `action` changes nothing.
        """
        with self._lock:
            self._at_once = action
        try:
            yield
        finally:
            with self._lock:
                self._at_once = None

    def over(self) -> None:
        """The run is at its end, whatever ended it: no signal interrupts what is left."""
        self._over = True

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._over and (self.first is None or time.monotonic() - self._since > GRACE):
            self.first, self._since = signal.Signals(number), time.monotonic()
            raise KeyboardInterrupt

    def _watch(self) -> None:
        while numbers := os.read(self._woken, 64):
            if set(numbers) & set(self._before):
                with self._lock, suppress(HytError):
                    if self._at_once is not None:
                        self._at_once()
                        self._at_once = None
        os.close(self._woken)
