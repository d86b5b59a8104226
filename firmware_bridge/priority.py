"""The scheduling priority of the link's thread: one above whoever opens the link, where that one runs in real time.

A thread that computes under SCHED_FIFO gives its CPU to nobody of its own priority. Without this a long answer of a
policy could hold back heartbeats until the firmware stops.
"""

from __future__ import annotations

import os
from contextlib import suppress

HIGHEST = 99


def of_this_thread() -> int:
    """Its SCHED_FIFO priority; 0 under any other scheduling."""
    policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    return os.sched_getparam(0).sched_priority if policy == os.SCHED_FIFO else 0


def raise_above(opener: int) -> None:
    """Puts this thread one above `opener`, a priority of `of_this_thread`; 0 changes nothing."""
    if opener:
        # Who may take its opener's priority but none above it stays beside it.
        for priority in (opener, min(opener + 1, HIGHEST)):
            with suppress(PermissionError):
                os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
