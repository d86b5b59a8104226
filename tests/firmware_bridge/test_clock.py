"""The clock estimate against clocks that are made here."""

from __future__ import annotations

import random

import pytest

from hyt.firmware_bridge import Clock


def feed(clock: Clock, hz: float, seconds: float, *, first_tick: int = 0, jitter: float = 0.0) -> None:
    """Ten round trips a second, each way 1 ms and up to `jitter` seconds more."""
    dice = random.Random(1)
    for index in range(int(seconds * 10)):
        sent = index / 10
        there = sent + 0.001 + dice.random() * jitter
        back = there + 0.001 + dice.random() * jitter
        clock.add(sent, back, int(first_tick + there * hz) % 2**32)


@pytest.mark.parametrize("drift", [-0.0005, 0.0, 0.0005])
def test_a_drifting_clock_is_followed(drift: float) -> None:
    clock = Clock(1000)
    feed(clock, 1000 * (1 + drift), 6.0, jitter=0.003)
    assert clock.rate == pytest.approx(1000 * (1 + drift), rel=2e-4)
    assert clock.tick_at(7.0) == pytest.approx(7000 * (1 + drift), abs=3)


def test_before_a_second_has_passed_the_nominal_rate_is_taken() -> None:
    clock = Clock(1000)
    feed(clock, 990, 0.5)
    assert clock.rate == 1000


def test_ticks_wrap() -> None:
    clock = Clock(1000)
    feed(clock, 1000, 3.0, first_tick=2**32 - 1500)
    assert clock.tick_at(2.5) == pytest.approx(1000, abs=2)


@pytest.mark.parametrize("first_tick", [0, 2**32 - 1500])
def test_the_time_of_a_tick_is_where_the_clock_says_that_tick(first_tick: int) -> None:
    clock = Clock(1000)
    feed(clock, 1000.3, 3.0, first_tick=first_tick)
    for when in (0.5, 2.5, 9.0):
        tick = clock.tick_at(when)
        assert clock.time_of(tick) == pytest.approx(when, abs=0.0006)  # the tick was rounded
        assert clock.time_of(tick + 0.5) > clock.time_of(tick)
        assert clock.time_of(tick + 2**32) == pytest.approx(clock.time_of(tick))


def test_slow_round_trips_do_not_pull_the_estimate() -> None:
    clock = Clock(1000)
    feed(clock, 1000, 3.0)
    clock.add(3.0, 3.5, 3001)  # the answer was half a second late
    assert clock.tick_at(4.0) == pytest.approx(4000, abs=2)
    assert clock.uncertainty() == pytest.approx(0.001)


def test_a_firmware_that_was_held_up_and_answers_with_its_old_tick_does_not_pull_the_estimate() -> None:
    clock = Clock(1000)
    for index in range(64):
        sent = index / 10
        stood = 50 if index % 9 == 5 else 0  # ticks for which it was held up
        clock.add(sent, sent + 0.002, int((sent + 0.001) * 1000) - stood)
        if index > 15:
            assert clock.tick_at(sent + 0.1) == pytest.approx((sent + 0.1) * 1000, abs=3)


def test_a_clock_without_samples_knows_nothing() -> None:
    with pytest.raises(ValueError, match="no sample"):
        Clock(1000).now()
    with pytest.raises(ValueError, match="no sample"):
        Clock(1000).time_of(0)


def test_offset_and_drift_are_those_of_the_line() -> None:
    clock = Clock(1000)
    feed(clock, 1000.5, 6.0, first_tick=2000)
    assert clock.drift == pytest.approx(0.0005, abs=1e-4)
    assert clock.offset == pytest.approx(-2.0 / 1.0005, abs=0.005)
