"""Thoughts written from the expert's phase and the simulator's state, in the order of ECoT (arXiv 2407.08693).

    plan reach lower pull subtask lower move down back gripper <p30> <p22> object <p33> <p20>

A task with a marked goal adds `goal <p40> <p12>`. Coordinates are image positions on a 64 x 64 grid. The part from
`subtask` to the end of the motion is a sub-instruction that a person could give as well.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hyt.simulation.camera import WorkspaceCamera
from hyt.simulation.metaworld import MetaWorldArm

GRID = 64
"""Image coordinates in a thought are 0 .. GRID-1."""

MOTIONS = (("left", "right"), ("back", "forward"), ("down", "up"))
"""Words for negative and positive motion along x, y, z."""

_STILL = 0.15
"""An axis is named when the expert moves it by more than this part of full speed."""


def motion_words(action: npt.NDArray[np.float64]) -> list[str]:
    """Words for an expert's action (4,), strongest axis first; `hold` when none moves."""
    axes = sorted((axis for axis in range(3) if abs(action[axis]) > _STILL), key=lambda axis: -abs(action[axis]))
    return [MOTIONS[axis][int(action[axis] > 0)] for axis in axes[:2]] or ["hold"]


def grid_word(pixel: float) -> str:
    """Grid coordinate of a pixel position, clipped to the image."""
    return f"<p{min(max(int(pixel * GRID / WorkspaceCamera.size), 0), GRID - 1):02d}>"


def sub_instruction(arm: MetaWorldArm) -> str:
    """What a person who watches would say now: the phase and the motion."""
    return " ".join(["subtask", arm.task.phases[arm.phase()], "move", *motion_words(arm.expert())])


def thought(arm: MetaWorldArm) -> str:
    """The whole thought for the arm's present state."""
    places = {"gripper": arm.hand, "object": arm.thing} | ({"goal": arm.goal} if arm.task.goal else {})
    seen = [word for name, point in places.items() for word in (name, *map(grid_word, arm.pixel(point)))]
    return " ".join(["plan", *arm.task.phases, sub_instruction(arm), *seen])


def sub_instruction_in(text: str) -> str:
    """The sub-instruction within a thought, from `subtask` to the end of the motion; the whole text without one."""
    before, found, rest = text.partition("subtask ")
    return (found + rest).partition(" gripper")[0] if found else before


def words() -> list[str]:
    """Every word that a thought or sub-instruction can hold, besides the grid coordinates."""
    from hyt.simulation.tasks import TASKS

    phases = {phase for task in TASKS.values() for phase in task.phases}
    motions = {word for pair in MOTIONS for word in pair}
    return sorted({"plan", "subtask", "move", "hold", "gripper", "object", "goal"} | phases | motions)
