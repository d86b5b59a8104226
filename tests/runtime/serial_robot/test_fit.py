"""What must agree before anything moves: robot.toml with the policy, and with the firmware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from robots import contract, gantry_text

from hyt.errors import InputError
from hyt.firmware_bridge import FirmwareConfig, FirmwareProcess, Link
from hyt.runtime.serial_robot import read_description
from hyt.runtime.serial_robot.description import Description
from hyt.runtime.serial_robot.fit import check_contract, check_firmware, step_ticks


def described(folder: Path, *changes: tuple[str, str]) -> Description:
    text = gantry_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    (folder / "robot.toml").write_text(text)
    return read_description(folder / "robot.toml")


@pytest.mark.parametrize(
    ("changes", "dimensions", "said"),
    [
        ([('name = "corner2"', 'name = "front"')], {}, "cameras; expected the policy's corner2; received front"),
        ([('dimension = "x"', 'dimension = "q"')], {}, "actions; expected the policy's dimensions x, y, z, gripper"),
        ([('dimension = "hand_x"', 'dimension = "q"')], {}, "state; expected the policy's dimensions hand_x, hand_y"),
        (
            [('frame = "world"', 'frame = "joint"')],
            {},
            "actions 'x'; expected an axis that moves in the policy's frame 'world'; received axis 'x' in frame "
            "'joint'; name a kinematics adapter in kinematics.actions",
        ),
        ([], {"x": {"frame": "end_effector"}}, "frame 'end_effector'; received axis 'x' in frame 'world'; name a kin"),
        ([('unit = "m"', 'unit = "mm"')], {}, "actions 'x'; expected the axis' unit 'mm'; received the policy's 'm'"),
        (
            [],
            {"x": {"semantics": "velocity", "relative_to": "none"}},
            "actions 'x'; expected the axis' unit 'm/s'; received the policy's 'm'; give the scale between them",
        ),
        (
            [('axis = "x"', 'axis = "x"\noffset = 0.1')],
            {},
            "actions 'x': offset; expected 0 for a delta; received 0.1",
        ),
        (
            [("tick_hz = 400", "tick_hz = 10")],
            {},
            "firmware.tick_hz; expected whole ticks in the policy's step of 0.0625 s; received 0.625 at 10 Hz",
        ),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_by_its_key(
    tmp_path: Path, changes: list[tuple[str, str]], dimensions: dict[str, Any], said: str
) -> None:
    robot = described(tmp_path, *changes)
    with pytest.raises(InputError) as caught:
        check_contract(robot, contract(dimensions=dimensions))
    assert said in str(caught.value)
    assert str(caught.value).startswith("robot 'gantry': ")
    assert "\n" not in str(caught.value)


def test_what_fits_is_taken_and_a_step_is_a_whole_number_of_ticks(tmp_path: Path) -> None:
    robot = described(tmp_path)
    check_contract(robot, contract())
    assert step_ticks(robot, contract()) == 25
    assert step_ticks(described(tmp_path, ("tick_hz = 400", "tick_hz = 1000")), contract(step_time=1 / 30)) == 33


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("tick_hz = 400", "tick_hz = 800")], "firmware.tick_hz; expected the firmware to have 800, as robot.toml"),
        ([("link_timeout_ticks = 400", "link_timeout_ticks = 10")], "firmware.link_timeout_ticks; expected the firm"),
        ([('stop_action = "hold"', 'stop_action = "release"')], "have release, as robot.toml says; received hold"),
        ([("low = -0.5", "low = -0.6")], "axes.0.low; expected the firmware to have -0.6, as robot.toml says; rec"),
        ([("max_velocity = 0", "max_velocity = 2")], "axes.0.max_velocity; expected the firmware to have 2.0, as"),
        ([("max_velocity = 0", 'interpolation = "hold"\nmax_velocity = 0')], "axes.0.interpolation"),
        ([('unit = "m"', 'unit = "cm"')], "axes.0.unit; expected the firmware to have cm, as robot.toml says; rec"),
    ],
)
def test_a_firmware_of_another_build_is_refused_by_the_key_that_differs(
    tmp_path: Path, changes: list[tuple[str, str]], said: str
) -> None:
    built = described(tmp_path).firmware_config()
    with FirmwareProcess(built, lockstep=False) as firmware, Link(firmware.port) as link:
        with pytest.raises(InputError) as caught:
            check_firmware(described(tmp_path, *changes), link.info)
        assert said in str(caught.value)
        assert str(caught.value).endswith("correct robot.toml, or flash the firmware that it describes")
        check_firmware(described(tmp_path), link.info)


def test_a_firmware_with_other_axes_or_in_lockstep_is_refused(tmp_path: Path) -> None:
    built = described(tmp_path).firmware_config()
    fewer = FirmwareConfig(list(built.axes)[:3], tick_hz=400, link_timeout_ticks=400)
    for config, lockstep, said in (
        (fewer, False, r"axes; expected the firmware to have x, y, z, gripper, .*received x, y, z;"),
        (built, True, "received one in lockstep"),
    ):
        with FirmwareProcess(config, lockstep=lockstep) as firmware, Link(firmware.port) as link:
            info = link.info
        with pytest.raises(InputError, match=said):
            check_firmware(described(tmp_path), info)
