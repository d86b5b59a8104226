"""What happens to setpoints between two chunks: stale rows, blending, the first jump."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyt.errors import InputError
from hyt.firmware_bridge import AxisInfo, FirmwareConfig, FirmwareProcess, Interpolation, Link
from hyt.firmware_bridge.process import AxisConfig
from hyt.runtime.schedule.plan import blended, check_first_jump, fresh_rows

Rows = st.integers(1, 12)


@pytest.fixture(scope="module")
def axes() -> list[AxisInfo]:
    """A linear axis of 0.2 m/s and a gripper that holds, as a firmware tells them."""
    x = AxisConfig("x", "m", -1, 1, 0.2, 1.0)
    gripper = AxisConfig("gripper", "1", -1, 1, 0.0, 0.0, "hold")
    with FirmwareProcess(FirmwareConfig([x, gripper]), lockstep=True) as firmware, Link(firmware.port) as link:
        return list(link.info.axes)


def ramp(rows: int, end: float) -> np.ndarray:
    return np.linspace(0, end, rows + 1)[1:, None] * [1.0, 1.0]


@given(Rows, st.integers(0, 400), st.integers(1, 50))
def test_a_late_plan_goes_on_where_it_would_be_by_now(rows: int, delay: int, row_ticks: int) -> None:
    points = ramp(rows, 1.0)
    fresh = fresh_rows(points, delay, row_ticks)
    assert 1 <= len(fresh) <= rows
    np.testing.assert_array_equal(fresh, points[-len(fresh) :])
    dropped = rows - len(fresh)
    # Every dropped row would have been over by now; the first that is left would not, but for the very last.
    assert dropped * row_ticks <= delay
    assert len(fresh) == 1 or delay < (dropped + 1) * row_ticks


def test_blending_takes_over_evenly_and_leaves_what_holds_alone(axes: list[AxisInfo]) -> None:
    new, old = np.full((6, 2), 1.0), np.zeros((4, 2))
    mixed = blended(new, old, 3, axes)
    np.testing.assert_allclose(mixed[:, 0], [0.25, 0.5, 0.75, 1, 1, 1])
    np.testing.assert_array_equal(mixed[:, 1], 1.0)


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 8))
def test_a_blend_lies_between_both_plans_and_ends_on_the_new_one(rows: int, remainder: int, blend: int) -> None:
    linear = [AxisInfo("x", "m", -1, 1, 0, 0, Interpolation.LINEAR)] * 2
    new, old = ramp(rows, 1.0), -ramp(max(remainder, 1), 1.0)[:remainder]
    mixed = blended(new, old, blend, linear)
    count = min(rows, remainder, blend)
    np.testing.assert_array_equal(mixed[count:], new[count:])
    assert (mixed[:count] <= new[:count]).all()
    assert (mixed[:count] >= old[:count]).all()


def test_a_first_setpoint_within_one_steps_reach_is_taken(axes: list[AxisInfo]) -> None:
    here = np.array([0.1, -1.0])
    check_first_jump("arm", np.array([0.12, 1.0]), [here], axes, 0.1, None)  # the gripper has no speed to exceed
    check_first_jump("arm", np.array([0.5, -1.0]), [here], axes, 0.1, 0.5)


def test_a_first_setpoint_out_of_reach_is_refused_in_one_line(axes: list[AxisInfo]) -> None:
    commanded, measured = np.array([0.1, 0.0]), np.array([0.05, 0.0])
    with pytest.raises(InputError) as caught:
        check_first_jump("arm", np.array([0.12, 0.0]), [commanded, measured], axes, 0.1, None)
    assert str(caught.value) == (
        "robot 'arm': first setpoint of axis 'x'; expected at most 0.02 m from where it is; received 0.07 m; bring the "
        "arm to where the policy begins, or give --max-first-jump"
    )
    with pytest.raises(InputError, match=r"axis 'gripper'; expected at most 0\.5 1"):
        check_first_jump("arm", np.array([0.1, 0.9]), [commanded], axes, 0.1, 0.5)


def test_no_speed_limit_is_no_reach(axes: list[AxisInfo]) -> None:
    free = [replace(axis, max_velocity=0.0) for axis in axes]
    check_first_jump("arm", np.array([0.9, 1.0]), [np.array([-0.9, -1.0])], free, 0.1, None)
