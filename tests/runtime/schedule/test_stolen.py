"""What a hypervisor took is told apart from what this machine did, and from sleeping."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

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


@pytest.mark.parametrize(
    ("accounted", "sleeps", "stolen"), [(0.007, 0, 0.003), (0.01, 0, 0.0), (0.011, 0, 0.0), (0.007, 1, 0.0)]
)
def test_what_is_missing_of_ten_milliseconds_was_stolen(
    monkeypatch: pytest.MonkeyPatch, accounted: float, sleeps: int, stolen: float
) -> None:
    accounts = iter([(5.0, 2.0, 4), (5.01, 2.0 + accounted, 4 + sleeps)])
    with closing(StolenTime()) as watched:
        monkeypatch.setattr(watched, "_read", lambda: next(accounts))
        watched.begin()
        assert watched.end() == pytest.approx(stolen, abs=1e-9)
