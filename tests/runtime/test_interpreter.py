"""The interpreter around a run in real time: whose turn it is, when its timer fires, when garbage is collected."""

from __future__ import annotations

import ctypes
import gc
import math
import sys
import time
import weakref

import pytest

from hyt.runtime.interpreter import MOST_GARBAGE, PR_GET_TIMERSLACK, garbage_in_slack, prompt_interpreter


class Cycle:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.itself = self


def test_in_real_time_no_other_thread_keeps_the_interpreter_for_long() -> None:
    before = sys.getswitchinterval()
    with prompt_interpreter():
        assert sys.getswitchinterval() == pytest.approx(1e-4, rel=0.02)
        with prompt_interpreter():
            pass
        assert sys.getswitchinterval() == pytest.approx(1e-4, rel=0.02)
    assert sys.getswitchinterval() == before


def test_in_real_time_a_timer_may_not_fire_late() -> None:
    slack = lambda: ctypes.CDLL(None).prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0)  # noqa: E731
    before = slack()
    with prompt_interpreter():
        assert slack() == 1
    assert slack() == before


def test_garbage_waits_for_the_sweeper_and_is_found_by_it() -> None:
    collections = []
    gc.callbacks.append(lambda phase, _: collections.append(phase))
    try:
        with garbage_in_slack() as sweeper:
            collections.clear()
            dead = weakref.ref(Cycle())
            kept = [[] for _ in range(3 * gc.get_threshold()[0])]  # enough for three collections
            assert kept
            assert not collections
            assert dead() is not None
            assert sweeper.sweep(math.inf)
            assert collections == ["start", "stop"]
            assert dead() is None
        assert gc.isenabled()
        assert gc.get_freeze_count() == 0
    finally:
        gc.callbacks.pop()


def test_a_collection_that_does_not_fit_is_put_off_until_there_is_too_much_garbage() -> None:
    with garbage_in_slack() as sweeper:
        assert sweeper.sweep(math.inf)  # how long one takes
        assert not sweeper.sweep(time.monotonic())
        kept = [[] for _ in range(MOST_GARBAGE)]
        assert kept
        assert sweeper.sweep(time.monotonic())


def test_what_an_application_froze_or_switched_off_stays_so() -> None:
    gc.freeze()
    gc.disable()
    try:
        count = gc.get_freeze_count()
        with garbage_in_slack():
            pass
        assert gc.get_freeze_count() == count
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


def test_a_large_program_is_not_searched_for_garbage_where_an_episode_begins_or_ends() -> None:
    collections = []
    gc.callbacks.append(lambda phase, _: collections.append(phase))
    try:
        gc.disable()
        with garbage_in_slack():
            pass
        assert not collections
    finally:
        gc.callbacks.pop()
        gc.enable()
