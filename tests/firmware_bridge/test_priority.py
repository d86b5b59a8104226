"""The link's priority follows whoever opens it; tests/runtime/test_realtime.py sees it above a real-time loop."""

from __future__ import annotations

import os
import threading

from hyt.firmware_bridge import priority


def test_an_ordinary_opener_has_none_and_its_link_stays_ordinary() -> None:
    assert priority.of_this_thread() == 0
    seen: list[int] = []

    def run() -> None:
        priority.raise_above(0)
        seen.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [os.SCHED_OTHER]
