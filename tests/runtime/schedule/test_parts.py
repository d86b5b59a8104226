"""The small parts of the schedule: estimates, held thoughts, options, waiting."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hyt.errors import InputError
from hyt.runtime.schedule.budget import Estimate
from hyt.runtime.schedule.holder import Holder
from hyt.runtime.schedule.options import Schedule, Thinking
from hyt.runtime.schedule.wait import sleep_until


def filled(*seconds: float) -> Estimate:
    estimate = Estimate()
    for value in seconds:
        estimate.add(value)
    return estimate


def test_an_estimate_is_an_upper_end_of_what_was_measured() -> None:
    assert filled().upper == 0
    assert filled(3.0, 1.0, 2.0).upper == 3.0
    assert filled(*np.linspace(0.0, 1.0, 100)).upper == pytest.approx(0.97, abs=0.02)


def test_one_slow_moment_does_not_move_an_estimate_and_a_slow_machine_does() -> None:
    assert filled(*[1.0] * 50, 60.0, *[1.0] * 40).upper == 1.0
    assert filled(*[1.0] * 90, *[2.5] * 10).upper == 2.5
    assert filled(*[1.0] * 40, *[5.0] * 60).upper == 5.0
    assert filled(*[5.0] * 100, *[1.0] * 100).upper == 1.0


def test_an_estimate_chases_no_tail_beyond_three_medians() -> None:
    assert filled(1.0, 1.0, 60.0).upper == 3.0
    assert filled(*[1.0] * 90, *[60.0] * 10).upper == 3.0
    assert filled(*[1.0] * 90, *[60.0] * 10).median == 1.0


def test_a_thought_is_held_for_so_many_decisions_from_the_next_one_on() -> None:
    holder = Holder(2)
    assert holder.take() is None
    holder.hold("first", np.array([1, 2], np.int32))
    assert [held and held[0] for held in (holder.take(), holder.take(), holder.take())] == ["first", "first", None]
    holder.hold("second", np.array([1], np.int32))
    holder.take()
    holder.hold("third", np.array([1], np.int32))
    assert [held and held[0] for held in (holder.take(), holder.take(), holder.take())] == ["third", "third", None]
    holder.hold("fourth", np.array([1], np.int32))
    holder.drop()
    assert holder.take() is None


def test_a_holder_of_no_decisions_holds_nothing() -> None:
    holder = Holder(0)
    holder.hold("first", np.array([1], np.int32))
    assert holder.take() is None


def test_sleeping_ends_at_its_moment_and_never_before() -> None:
    for seconds in (-1.0, 0.0, 1e-4, 0.005):
        moment = time.monotonic() + seconds
        sleep_until(moment)
        assert time.monotonic() >= moment


class _Action:
    steps, step_time = 8, 0.05


def steps(**options: object) -> int:
    return Schedule(**options).period_steps(_Action())  # type: ignore[arg-type]


def test_a_period_is_a_whole_number_of_steps_and_by_default_all_of_them() -> None:
    assert steps() == 8
    assert steps(period=0.05) == 1
    assert steps(period=0.2, blend=4) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"period": 0.07}, "period; expected a whole number of steps of 0.05 s, 1 to 8 of them; received 0.07 s"),
        ({"period": 0.45}, "period; expected a whole number of steps of 0.05 s, 1 to 8 of them; received 0.45 s"),
        ({"period": 0.3, "blend": 3}, "blend; expected 0 to 2 steps, as many as a chunk plans beyond its period; "),
        ({"blend": 1}, "blend; expected 0 to 0 steps, as many as a chunk plans beyond its period; received 1; give a"),
    ],
)
def test_a_period_or_blend_that_does_not_fit_the_chunk_is_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(InputError) as caught:
        steps(**options)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("wrong", [{"every": 0}, {"rate": 0.0}, {"hold": 0}])
def test_thinking_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name}; expected"):
        Thinking("every", **wrong)  # type: ignore[arg-type]
