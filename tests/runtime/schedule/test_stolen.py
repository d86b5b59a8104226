"""What a hypervisor took is told apart from what this machine did, and from sleeping."""

from __future__ import annotations

import time
from contextlib import closing

from hyt.runtime.schedule.stolen import StolenTime


def busy(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_of_a_thread_that_only_computes_the_stolen_time_is_what_the_clock_has_beyond_its_accounts() -> None:
    with closing(StolenTime()) as stolen:
        began = time.monotonic()
        stolen.begin()
        busy(0.05)
        found = stolen.end()
        assert 0 <= found <= time.monotonic() - began - 0.05 + 1e-3


def test_of_a_thread_that_slept_nothing_is_told() -> None:
    with closing(StolenTime()) as stolen:
        stolen.begin()
        time.sleep(0.02)
        busy(0.005)
        assert stolen.end() == 0


def test_a_new_beginning_forgets_what_was_before() -> None:
    with closing(StolenTime()) as stolen:
        stolen.begin()
        time.sleep(0.02)
        stolen.begin()
        busy(0.005)
        assert stolen.end() < 0.02
