"""Sleeping until a moment, more exactly than the system's timer does, and getting the interpreter back from others."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH = 0.0001
"""Seconds after which a thread that computes in Python gives the interpreter to one that waits for it; Python's own 5
ms would be more than an action takes."""

SPIN = 0.0002
"""Seconds before the moment from which on the thread looks at the clock in place of sleeping."""


def sleep_until(moment: float) -> None:
    """Return at `moment`, a `time.monotonic()` in seconds; at once where it has passed."""
    left = moment - time.monotonic()
    if left > SPIN:
        time.sleep(left - SPIN)
    while time.monotonic() < moment:
        pass


@contextmanager
def prompt_interpreter() -> Iterator[None]:
    """In the block no other thread of this process (a view, a recorder) keeps the interpreter for long."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
