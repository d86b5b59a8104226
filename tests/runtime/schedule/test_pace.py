"""Tests of hyt.runtime.schedule.pace: turns begin ahead of their chunks by what they take."""

from __future__ import annotations

from typing import cast

import pytest

from hyt.runtime.robot import Robot
from hyt.runtime.schedule.pace import MARGIN, Pace


class ByTheClock:
    """A robot of 1000 ticks a second, 100 a step, whose time does not stand still."""

    stepped, tick_hz, step_ticks = False, 1000.0, 100


@pytest.mark.parametrize(("takes", "lead"), [(0.02, 0.02 + MARGIN), (0.45, 0.2)])
def test_a_turn_begins_ahead_by_what_it_takes_but_never_more_than_a_period(takes: float, lead: float) -> None:
    pace = Pace(cast(Robot, ByTheClock()), period_steps=2)
    for _ in range(10):
        pace.rehearse(takes)
    assert pace.lead == pytest.approx(lead)
