"""Keeps Python's interpreter at hand for the control loop: other threads hold it for short, garbage waits for slack.

Python collects garbage in whichever thread happens to allocate, with the interpreter held, and goes through all that a
program has ever loaded now and then: an action would wait for it. So while a robot runs by the clock, what was there
before is left out, and what came since is collected by the loop, in the slack of its turns.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hyt.runtime.schedule.budget import Estimate

WATCHED = 0.0005
"""Seconds after which a thread that computes in Python gives the interpreter to one that waits for it, where people or
recorders look on: Python's own 5 ms would be more than an action takes."""

PROMPT = 0.0001
"""And where the robot runs by the clock."""

MOST_GARBAGE = 20_000
"""Objects made since the last collection, about 20 MB, with which none is put off any longer for want of slack."""

PR_SET_TIMERSLACK, PR_GET_TIMERSLACK = 29, 30  # of linux/prctl.h


@contextmanager
def short_turns(seconds: float) -> Iterator[None]:
    """In the block a thread of this process gives the interpreter up after `seconds`, or sooner, to one that waits."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, seconds))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def exact_timer() -> Iterator[None]:
    """In the block the system wakes this thread when it asked to be, not up to 50 microseconds later; on Linux."""
    if not sys.platform.startswith("linux"):
        yield
        return
    libc = ctypes.CDLL(None)
    before = libc.prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0)
    libc.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(PR_SET_TIMERSLACK, before, 0, 0, 0)


class Sweeper:
    """Collects garbage where there is time for it."""

    def __init__(self) -> None:
        self._took = Estimate()

    def sweep(self, until: float) -> bool:
        """Collect, if that ends before `until`, a `time.monotonic()`, or cannot be put off; returns whether it did."""
        began = time.monotonic()
        if began + self._took.upper >= until and gc.get_count()[0] < MOST_GARBAGE:
            return False
        gc.collect()
        self._took.add(time.monotonic() - began)
        return True


@contextmanager
def garbage_in_slack() -> Iterator[Sweeper]:
    """In the block garbage is collected by the sweeper alone, and what was there before is not looked at again."""
    # No collection to begin with: over all that a large program holds it would keep the link silent for too long.
    collecting, frozen = gc.isenabled(), gc.get_freeze_count() > 0
    gc.disable()
    if not frozen:
        gc.freeze()
    try:
        yield Sweeper()
    finally:
        if not frozen:  # else it is somebody else's to thaw
            gc.unfreeze()
        if collecting:
            gc.enable()


@contextmanager
def prompt_interpreter() -> Iterator[Sweeper]:
    """All of the above, around an episode in real time."""
    with short_turns(PROMPT), exact_timer(), garbage_in_slack() as sweeper:
        yield sweeper
