"""What a user may say while the loop runs: follow a text, go back to the instruction, think now, stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hyt.errors import InputError, LinkError, StoppedError
from hyt.runtime.robot import Robot


class Controls:
    """A mailbox between any thread (terminal, web page, program) and the loop, which reads it once a decision.

    readable: raises InputError for a text that the policy cannot follow, such as `Prompt.encode` does; a text is
              refused where it is given, because in the loop it would end the run.
    thinks:   whether the policy was trained to think
    """

    def __init__(self, readable: Callable[[str], object] | None = None, *, thinks: bool = True) -> None:
        self._lock = threading.Lock()
        self._readable, self._thinks = readable, thinks
        self._text: str | None = None
        self._think = False
        self._stop = threading.Event()
        self._robot: Robot | None = None

    def follow(self, text: str) -> None:
        """From the next decision on, act on this text in place of the instruction; raises InputError if blank."""
        if not text.strip():
            raise InputError("follow", expected="a sub-instruction", received="a blank text")
        if self._readable is not None:
            self._readable(text.strip())
        with self._lock:
            self._text = text.strip()

    def back(self) -> None:
        """From the next decision on, act on the instruction again."""
        with self._lock:
            self._text = None

    def think(self) -> None:
        """Ask for one thought as soon as the limits allow it; raises InputError for a policy that has none."""
        if not self._thinks:
            raise InputError("think", expected="a policy that was trained to think", received="one that was not")
        with self._lock:
            self._think = True

    def stop(self) -> None:
        """End the run: the firmware is stopped at once where a robot is `driven`, and the loop sends no further chunk.

        Cannot be taken back. Raises LinkError when the firmware does not confirm; the loop still ends the run.
        """
        self._stop.set()
        with self._lock:
            robot = self._robot
        if robot is not None:
            robot.stop()  # in this thread: the loop's may be in the middle of an answer

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

    @contextmanager
    def driving(self, robot: Robot) -> Iterator[None]:
        """Lets `stop` reach this robot's firmware, past the loop that drives it in the block.

        A block that was stopped ends with StoppedError, however the loop ended, and one that was stopped before is not
        entered; with LinkError where the firmware has not confirmed that it stopped.
        """
        with self._lock:
            self._robot = robot
        try:
            if not self.stopped:  # else nothing is armed any more
                yield
        except LinkError:
            if not self.stopped:  # else the loop ran into the stopped firmware
                raise
        finally:
            with self._lock:
                self._robot = None
        if self.stopped:
            robot.stop()  # once more, or for the first time where it was asked for before the block
            raise StoppedError(
                f"robot {robot.name!r}", received="a stop from the user", remedy="its firmware has stopped; drive again"
            )
