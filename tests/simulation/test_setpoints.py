"""Tests of hyt.simulation.setpoints against a plain loop, and what it refuses."""

from __future__ import annotations

from typing import Any

import checkpoints
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyt
from hyt.runtime.contract import Contract
from hyt.simulation.setpoints import check_axes, control_steps_per_step, setpoints

LIMITS = np.array([[-0.2, 0.2], [0.4, 0.9], [0.05, 0.3], [-1.0, 1.0]])
AXES = [("x", "m"), ("y", "m"), ("z", "m"), ("gripper", "1")]


def contract(**changes: Any) -> Contract:
    """The tiny contract with an absolute gripper, and `changes` in its action."""
    data = checkpoints.contract_data()
    data["action"]["dimensions"][3].update(semantics="absolute", relative_to="none")
    data["action"].update(changes)
    return Contract.model_validate(data)


DIMENSIONS = contract().action.dimensions


@given(
    st.lists(
        st.tuples(*[st.floats(-0.0625, 0.0625, width=32)] * 3, st.floats(-1, 1, width=32)), min_size=1, max_size=4
    ),
    st.integers(1, 6),
)
def test_deltas_accumulate_in_equal_parts_within_the_limits(values: list[tuple[float, ...]], parts: int) -> None:
    commanded = np.array([0.19, 0.41, 0.06, 0.0])
    points = setpoints(np.array(values, np.float32), DIMENSIONS, commanded, LIMITS, parts)
    expected, now = [], commanded.copy()
    for step in np.array(values, np.float32).astype(np.float64):
        for _ in range(parts):
            now[:3] += step[:3] / parts
            now[3] = step[3]
            now = np.minimum(np.maximum(now, LIMITS[:, 0]), LIMITS[:, 1])
            expected.append(now.copy())
    np.testing.assert_array_equal(points, expected)


def test_the_setpoint_commanded_last_is_not_changed() -> None:
    commanded = np.array([0.0, 0.6, 0.1, 0.0])
    setpoints(np.ones((1, 4), np.float32), DIMENSIONS, commanded, LIMITS, 5)
    assert commanded.tolist() == [0.0, 0.6, 0.1, 0.0]


def test_a_step_of_a_sixteenth_of_a_second_is_five_control_steps() -> None:
    assert control_steps_per_step(contract(step_time=0.0625)) == 5


@pytest.mark.parametrize("seconds", [0.001, 0.03])
def test_a_step_time_that_the_arm_cannot_keep_is_refused(seconds: float) -> None:
    with pytest.raises(hyt.InputError) as caught:
        control_steps_per_step(contract(step_time=seconds))
    assert str(caught.value) == (
        f"action: step_time; expected a multiple of the arm's control step of 0.0125 s; received {seconds} s"
    )


def refusal(policy: Contract, axes: list[tuple[str, str]], max_points: int = 512) -> str:
    with pytest.raises(hyt.InputError) as caught:
        check_axes("arm", policy.action.dimensions, axes, max_points, 40)
    return str(caught.value)


def test_axes_in_another_order_or_unit_are_refused() -> None:
    wanted = "[x in m, y in m, z in m, gripper in 1]"
    assert refusal(contract(), [AXES[1], AXES[0], *AXES[2:]]) == (
        f"robot 'arm': firmware axes; expected the policy's {wanted}; received [y in m, x in m, z in m, gripper in 1]"
    )
    assert refusal(contract(), [("x", "mm"), *AXES[1:]]).endswith("received [x in mm, y in m, z in m, gripper in 1]")


def test_a_velocity_is_refused() -> None:
    dimensions = checkpoints.contract_data()["action"]["dimensions"]
    dimensions[0].update(semantics="velocity", relative_to="none")
    assert refusal(contract(dimensions=dimensions), AXES) == (
        "robot 'arm': action dimension 'x'; expected absolute, or delta relative to last_setpoint; received velocity "
        "relative to none"
    )


def test_a_chunk_larger_than_the_firmwares_is_refused() -> None:
    assert refusal(contract(), AXES, 39) == "robot 'arm': setpoints of one chunk; expected at most 39; received 40"
