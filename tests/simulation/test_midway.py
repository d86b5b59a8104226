"""Half-way scenes: either way is possible, and what counts is the way in which the thing moved."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from hyt.errors import InputError
from hyt.simulation.metaworld import METRES_PER_UNIT
from hyt.simulation.midway import OPPOSITES, TRAVEL, MidwayArm


def obey(arm: MidwayArm) -> None:
    """Do what the expert of the asked task does until the episode is over."""
    while not arm.done:
        arm.sub_instruction()  # brings the onlooker's copy of the scene up to date
        action = arm._onlooker.expert()
        low, high = arm.limits[:3].T
        for _ in range(5):
            position = np.clip(arm.setpoint + METRES_PER_UNIT * action[:3], low, high)
            arm.apply(np.append(position, action[3]))


def position(arm: MidwayArm, task: str) -> float:
    return float(arm._env.data.joint(OPPOSITES[task].joint).qpos[0])


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("task", ["drawer-open-v3", "window-close-v3"])
def test_the_asked_tasks_expert_moves_the_thing_its_way(task: str, opposite: bool) -> None:
    with closing(MidwayArm(task, opposite=opposite)) as arm:
        arm.reset(5)
        start = position(arm, task)
        assert start == pytest.approx(OPPOSITES[task].half, abs=1e-3)
        obey(arm)
        travelled = position(arm, task) - start
        assert arm.success
        assert arm.moved == 1
        assert np.sign(travelled) == OPPOSITES[task].way * (-1 if opposite else 1)
        assert abs(travelled) > TRAVEL - 2e-3


def test_the_onlooker_speaks_of_the_asked_task_in_the_scene_as_it_is() -> None:
    with (
        closing(MidwayArm("drawer-open-v3", opposite=True)) as close,
        closing(MidwayArm("drawer-open-v3", opposite=False)) as open_,
    ):
        for arm in (close, open_):
            arm.reset(5)
        np.testing.assert_array_equal(close.observe()[0]["corner2"], open_.observe()[0]["corner2"])
        assert close.sub_instruction() != open_.sub_instruction()
        obey(close)
        assert close.sub_instruction().startswith("subtask push")


def test_moving_the_other_way_ends_the_episode_unsolved() -> None:
    with closing(MidwayArm("drawer-open-v3", opposite=True)) as arm:
        arm.reset(5)
        arm._env.data.joint("goal_slidey").qpos[0] -= TRAVEL + 0.01
        assert arm.moved == -1
        assert arm.done
        assert not arm.success


def test_opposites_are_each_others() -> None:
    for task, opposite in OPPOSITES.items():
        other = OPPOSITES[opposite.task]
        assert (other.task, other.joint, other.half, other.way) == (task, opposite.joint, opposite.half, -opposite.way)


def test_a_task_without_an_opposite_is_refused() -> None:
    with pytest.raises(InputError, match="task 'door-open-v3'; expected one with an opposite: drawer-open-v3, "):
        MidwayArm("door-open-v3", opposite=True)
