"""What a user may say while the loop runs: follow a text, go back to the instruction, think now, stop."""

from __future__ import annotations

import threading

from hyt.errors import InputError


class Controls:
    """A mailbox between any thread (terminal, web page, program) and the loop, which reads it once a decision."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text: str | None = None
        self._think = False
        self._stop = threading.Event()

    def follow(self, text: str) -> None:
        """From the next decision on, act on this text in place of the instruction; raises InputError if blank."""
        if not text.strip():
            raise InputError("follow", expected="a sub-instruction", received="a blank text")
        with self._lock:
            self._text = text.strip()

    def back(self) -> None:
        """From the next decision on, act on the instruction again."""
        with self._lock:
            self._text = None

    def think(self) -> None:
        """Ask for one thought as soon as the limits allow it."""
        with self._lock:
            self._think = True

    def stop(self) -> None:
        """End the run: the loop sends no further chunk, stops the firmware and disarms it. Cannot be taken back."""
        self._stop.set()

    @property
    def text(self) -> str | None:
        """The text to follow now; None for the instruction."""
        with self._lock:
            return self._text

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def take_think(self) -> bool:
        """Whether a thought was asked for since this was called last."""
        with self._lock:
            asked, self._think = self._think, False
        return asked
