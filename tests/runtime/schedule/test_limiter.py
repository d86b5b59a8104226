"""What the limiter promises, whatever is asked of it and whenever."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyt.errors import InputError
from hyt.runtime.schedule.limiter import Bucket, Limiter, Limits

Steps = st.lists(st.floats(0, 5), min_size=1, max_size=60)  # seconds from one call to the next
RATES = st.floats(0.1, 600)


def begun(limiter: Limiter, gaps: list[float], seconds: float = 0.0) -> list[float]:
    """Times at which a thought of `seconds` could begin, tried after each of the gaps."""
    now, times = 0.0, []
    for gap in gaps:
        now += gap
        if not limiter.refusal(now):
            limiter.begin(now)
            times.append(now)
            now += seconds
            limiter.end(now)
    return times


@given(RATES, st.integers(1, 5), Steps)
def test_no_span_of_time_holds_more_thoughts_than_rate_and_burst_allow(
    rate: float, burst: int, gaps: list[float]
) -> None:
    times = begun(Limiter(Limits(thoughts_per_minute=rate, burst=burst)), gaps)
    for first, begin in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + (times[last] - begin) * rate / 60 + 1e-6


@given(st.floats(0.01, 10), Steps)
def test_between_two_thoughts_lies_the_cool_down(cooldown: float, gaps: list[float]) -> None:
    times = begun(Limiter(Limits(cooldown=cooldown)), gaps, seconds=0.25)
    assert all(later - earlier >= cooldown + 0.25 - 1e-9 for earlier, later in pairwise(times))


@given(RATES, st.integers(1, 50), st.lists(st.tuples(st.floats(0, 2), st.integers(0, 60)), max_size=60))
def test_no_span_of_time_holds_more_tokens_than_rate_and_burst_allow(
    rate: float, burst: int, asked: list[tuple[float, int]]
) -> None:
    limiter, now, spent = Limiter(Limits(tokens_per_second=rate, token_burst=burst)), 0.0, []
    for gap, tokens in asked:
        now += gap
        room = limiter.room(now)
        assert room is not None
        taken = min(tokens, room)
        limiter.spend(taken, 0.0, now)
        spent.append((now, taken))
    for first, (begin, _) in enumerate(spent):
        for last in range(first, len(spent)):
            total = sum(taken for _, taken in spent[first : last + 1])
            assert total <= burst + (spent[last][0] - begin) * rate + 1e-6


@given(st.integers(1, 20), st.lists(st.integers(0, 5), max_size=20))
def test_a_thought_has_its_budget_and_the_next_one_its_own(most: int, slices: list[int]) -> None:
    limiter = Limiter(Limits(thought_tokens=most))
    limiter.begin(0.0)
    for size in slices:
        left, _ = limiter.left()
        assert left is not None
        assert 0 <= left <= most
        limiter.spend(min(size, left), 0.0, 0.0)
    limiter.end(0.0)
    limiter.begin(0.0)
    assert limiter.left() == (most, math.inf)


def test_a_thought_may_take_its_seconds_of_computing_and_no_more() -> None:
    limiter = Limiter(Limits(thought_seconds=0.5))
    limiter.begin(10.0)
    limiter.spend(3, 0.4, 10.0)
    assert limiter.left() == (None, pytest.approx(0.1))
    limiter.spend(3, 0.4, 11.0)
    assert limiter.left()[1] == 0


def test_without_limits_nothing_is_refused() -> None:
    limiter = Limiter(Limits())
    assert len(begun(limiter, [0.0] * 50)) == 50
    assert limiter.room(0.0) is None
    assert limiter.levels(0.0) == (math.inf, math.inf)


def test_what_is_waited_for_is_named() -> None:
    limiter = Limiter(Limits(thoughts_per_minute=60, tokens_per_second=10, token_burst=10, cooldown=2))
    assert limiter.refusal(0.0) == ""
    limiter.begin(0.0)
    assert limiter.refusal(0.5) == "thoughts a minute"
    limiter.spend(10, 0.1, 1.0)
    assert limiter.refusal(1.0) == "tokens a second"
    limiter.end(1.0)
    assert limiter.refusal(2.0) == "cool-down"
    assert limiter.refusal(3.0) == ""


@given(RATES, st.lists(st.floats(0, 1000), max_size=20))
def test_a_clock_that_goes_back_fills_no_bucket(rate: float, times: list[float]) -> None:
    bucket, highest = Bucket(rate, 5.0), 0.0
    bucket.take(5.0, 0.0)
    for now in times:
        highest = max(highest, now)
        assert bucket.level(now) <= min(5.0, highest * rate) + 1e-6


@pytest.mark.parametrize(
    "wrong",
    [{"burst": 0}, {"cooldown": -1}, {"thought_tokens": 0}, {"thoughts_per_minute": math.nan}, {"token_burst": 0.5}],
)
def test_limits_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name}; expected at least"):
        Limits(**wrong)  # type: ignore[arg-type]
