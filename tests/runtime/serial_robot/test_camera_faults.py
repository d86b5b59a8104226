"""A camera fails in the middle of a drive: one line, exit code 10, and an arm that brakes to rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from drives import Gantry
from pipe_camera import PipeCamera

import hyt
from hyt.firmware_bridge import State
from hyt.runtime.cli import main
from hyt.runtime.listener import Decision, Listener
from hyt.runtime.loop import run_episode
from hyt.runtime.serial_robot import SerialRobot

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("fault", "keys", "said"),
    [
        ("unplug", "", "expected an image; received none any more: it was unplugged, or its stream has ended"),
        ("stall", "max_age = 1.0", "expected an image of at most 1 s of age; received one of "),
        ("freeze", "frozen_after = 1.0", "expected a picture that changes within 1 s; received the same pixels for "),
    ],
)
def test_a_camera_that_fails_ends_the_drive_with_10(
    arm_bundle: Path,
    slow_gantry: Callable[..., Gantry],
    tmp_path: Path,
    capsys: Captured,
    fault: str,
    keys: str,
    said: str,
) -> None:
    camera = PipeCamera(tmp_path / "camera.y4m")
    arm = slow_gantry("video:camera.y4m", f"{keys or 'max_age = 10.0'}\n")
    doing = arm.when_under_way(getattr(camera, fault))
    assert main(arm.command(arm_bundle)) == 10
    doing.join()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hyt-run: camera 'corner2'; {said}")
    assert arm.came_to_rest() is State.DISARMED
    camera.unplug()


def test_each_decision_says_how_old_its_images_were(
    arm_bundle: Path, slow_gantry: Callable[..., Gantry], tmp_path: Path
) -> None:
    class Ages(Listener):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def decided(self, decision: Decision) -> None:
            assert set(decision.frame_ages) == {"corner2"}
            self.seen.append(decision.frame_ages["corner2"])

    camera, ages = PipeCamera(tmp_path / "camera.y4m", rate=1.0), Ages()
    arm = slow_gantry("video:camera.y4m", "max_age = 10.0\n")
    with hyt.load(arm_bundle, threads=1) as policy, closing(SerialRobot(arm.robot, policy.contract)) as robot:
        run_episode(policy, robot, instruction="open the drawer", max_decisions=16, listeners=[ages])
    # A decision comes each 62.5 ms, an image each second: most looks find the one before, and it is older.
    assert len(ages.seen) == 16
    assert min(ages.seen) >= 0
    assert max(ages.seen) > 0.05
    assert sum(later > earlier for earlier, later in pairwise(ages.seen)) >= 4
    camera.unplug()
