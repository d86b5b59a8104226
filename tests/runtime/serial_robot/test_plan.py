"""From chunks to setpoints: each kind of action against arithmetic done here, and kinematics adapters."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robots import chunk_of, contract, gantry_text

from hyt.errors import InputError
from hyt.runtime.serial_robot import read_description
from hyt.runtime.serial_robot.plan import Planner

COMMANDED = np.array([0.1, 0.5, 0.2, -1.0])
OBSERVED = np.array([0.0, 0.6, 0.3, 1.0])


def planned(folder: Path, values: Any, *changes: tuple[str, str], **dimension: Any) -> tuple[np.ndarray, Planner]:
    text = gantry_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    (folder / "robot.toml").write_text(text)
    of = contract(dimensions={"x": dimension} if dimension else {})
    planner = Planner(read_description(folder / "robot.toml"), of)
    return planner.setpoints(chunk_of(of, values), COMMANDED, OBSERVED, step_time=0.05), planner


def test_deltas_of_the_last_setpoint_add_up_from_the_last_command(tmp_path: Path) -> None:
    points, planner = planned(tmp_path, [[0.05, 0.01, 0, 1.0], [0.05, 0.01, 0, -1.0]])
    np.testing.assert_allclose(points, [[0.15, 0.51, 0.2, 1.0], [0.2, 0.52, 0.2, -1.0]], atol=1e-7)
    assert planner.relative


def test_deltas_of_the_observed_state_each_start_from_what_was_seen(tmp_path: Path) -> None:
    change = {"semantics": "delta", "relative_to": "observed_state"}
    points, _ = planned(tmp_path, [[0.05, 0, 0, 0], [0.03, 0, 0, 0]], **change)
    np.testing.assert_allclose(points[:, 0], [0.05, 0.03], atol=1e-7)


def test_velocities_are_integrated_over_each_step(tmp_path: Path) -> None:
    change = {"semantics": "velocity", "relative_to": "none", "unit": "m/s"}
    points, planner = planned(tmp_path, [[1.0, 0, 0, 0], [-0.5, 0, 0, 0]], **change)
    np.testing.assert_allclose(points[:, 0], [0.15, 0.125], atol=1e-7)
    assert planner.relative


def test_absolute_values_are_scaled_and_shifted(tmp_path: Path) -> None:
    change = {"semantics": "absolute", "relative_to": "none"}
    mapping = ('axis = "x"', 'axis = "x"\nscale = -2.0\noffset = 0.1')
    points, _ = planned(tmp_path, [[0.05, 0, 0, 0], [-0.05, 0, 0, 0]], mapping, **change)
    np.testing.assert_allclose(points[:, 0], [0.0, 0.2], atol=1e-7)


def test_setpoints_stay_within_the_axes_and_what_was_cut_off_is_counted_and_not_owed(tmp_path: Path) -> None:
    points, planner = planned(tmp_path, [[0, -0.2, 0, 0], [0, 0.05, 0, 0]])
    np.testing.assert_allclose(points[:, 1], [0.4, 0.45], atol=1e-7)
    assert planner.clipped == 1


def test_the_state_is_mapped_from_positions(tmp_path: Path) -> None:
    _, planner = planned(tmp_path, [[0, 0, 0, 0]])
    np.testing.assert_allclose(planner.state(OBSERVED), [0.0, 0.6, 0.3, 1.0])  # the gripper's -1..1 is 0..1 open
    np.testing.assert_allclose(planner.state(COMMANDED)[3], 0.0)


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """robot.toml of a robot in polar axes that a Cartesian policy drives through an adapter of its owner."""
    (tmp_path / "polar_arm.py").write_text(
        textwrap.dedent(
            """
            import numpy as np
            def inverse(request):
                start = np.array([request.commanded[0] * np.cos(request.commanded[1]),
                                  request.commanded[0] * np.sin(request.commanded[1])])
                place = start + np.cumsum(request.values[:, :2], axis=0)
                return np.stack([np.hypot(*place.T), np.arctan2(place[:, 1], place[:, 0])], axis=1)
            def forward(positions):
                return [positions[0] * np.cos(positions[1]), positions[0] * np.sin(positions[1]), 0.0, 0.0]
            def wrong(request):
                return [[1.0]]
            def nan(request):
                return np.full((len(request.values), 2), np.nan)
            number = 3
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "polar_arm", raising=False)
    head = gantry_text().partition("[[axes]]")[0]
    axes = ""
    for name, unit, low, high in (("radius", "m", 0.0, 2.0), ("angle", "rad", -3.0, 3.0)):
        axes += f'[[axes]]\nname = "{name}"\nunit = "{unit}"\nlow = {low}\nhigh = {high}\nmax_velocity = 0\n'
        axes += "max_acceleration = 0\n"
    cameras = '[[cameras]]\nname = "corner2"\nsource = "images:frames"\n'
    kinematics = '[kinematics]\nactions = "polar_arm:inverse"\nstate = "polar_arm:forward"\n'
    (tmp_path / "robot.toml").write_text(head + axes + kinematics + cameras)
    return tmp_path / "robot.toml"


def test_an_adapter_stands_between_a_cartesian_policy_and_polar_axes(adapter: Path) -> None:
    planner = Planner(read_description(adapter), contract())
    start = np.array([1.0, 0.0])
    points = planner.setpoints(chunk_of(contract(), [[0.0, 1.0, 0, 0]]), start, start, 0.05)
    np.testing.assert_allclose(points, [[np.sqrt(2), np.pi / 4]], atol=1e-6)
    np.testing.assert_allclose(planner.state(points[0])[:2], [1.0, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("polar_arm:none", "kinematics.actions; expected an importable function polar_arm:none; received AttributeErr"),
        (
            "no_such_arm:inverse",
            "received ModuleNotFoundError: No module named 'no_such_arm'; put its folder on PYTHON",
        ),
        ("polar_arm:number", "expected a function polar_arm:number; received int"),
        ("polar_arm:wrong", "kinematics.actions; expected finite numbers of shape (1, 2); received shape (1, 1)"),
        ("polar_arm:nan", "expected finite numbers of shape (1, 2); received NaN or infinity"),
    ],
)
def test_an_adapter_that_breaks_its_promise_is_one_line(adapter: Path, function: str, said: str) -> None:
    adapter.write_text(adapter.read_text().replace("polar_arm:inverse", function))
    start = np.array([1.0, 0.0])
    with pytest.raises(InputError) as caught:
        Planner(read_description(adapter), contract()).setpoints(
            chunk_of(contract(), [[0, 0, 0, 0]]), start, start, 0.05
        )
    assert said in str(caught.value)
