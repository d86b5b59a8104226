"""The fifty tasks of the MT50 protocol are Meta-World's, and the arm runs those that no thought is written for too."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from metaworld.policies import ENV_POLICY_MAP

from hyt.errors import InputError
from hyt.simulation.metaworld import MAX_CONTROL_STEPS, METRES_PER_UNIT, MetaWorldArm
from hyt.simulation.mt50 import GROUPS, INSTRUCTIONS
from hyt.simulation.tasks import TASKS, find_task


def test_the_groups_hold_every_task_of_metaworld_once() -> None:
    assert {name: len(tasks) for name, tasks in GROUPS.items()} == {"easy": 28, "medium": 11, "hard": 6, "very hard": 5}
    assert len(INSTRUCTIONS) == 50
    assert set(INSTRUCTIONS) == set(ENV_POLICY_MAP)


def test_our_own_tasks_keep_their_instructions_and_phases_and_others_have_the_protocols() -> None:
    assert find_task("drawer-open-v3") is TASKS["drawer-open-v3"]
    hammer = find_task("hammer-v3")
    assert (hammer.instructions, hammer.has_phases) == (("Hammer a screw on the wall",), False)
    with pytest.raises(InputError, match=r"task 'juggle-v3'; expected one of drawer-open-v3, .* Meta-World's fifty"):
        find_task("juggle-v3")


def test_a_task_without_phases_is_done_when_solved_or_at_500_steps() -> None:
    with closing(MetaWorldArm("coffee-button-v3")) as arm:
        arm.reset(3)
        while not arm.done:
            action = arm.expert()
            arm.apply(np.append(arm.setpoint + METRES_PER_UNIT * action[:3], action[3]))
        assert arm.success
        assert arm.control_steps < MAX_CONTROL_STEPS
        arm.reset(3)
        arm.control_steps = MAX_CONTROL_STEPS
        assert arm.done
        assert not arm.success
