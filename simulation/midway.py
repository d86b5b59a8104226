"""Scenes in which a task and its opposite are both possible: the drawer half open, the window half open.

A policy that is told the opposite task's sub-instruction there should move the thing the other way, whatever the task
of the scene is. What counts is how far the thing's own joint has travelled.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from hyt.errors import InputError
from hyt.simulation.metaworld import MetaWorldArm
from hyt.simulation.thoughts import sub_instruction

TRAVEL = 0.05
"""Metres along its joint by which a thing has to move to count as moved; half open, it can go 0.08 (drawer) or 0.1."""


@dataclass(frozen=True)
class Opposite:
    """A task of two that share a scene.

    task:  the opposite one
    joint: of the thing that both move, half way at position `half` in metres
    way:   sign of the joint's motion in this task, not in the opposite
    """

    task: str
    joint: str
    half: float
    way: int


OPPOSITES: dict[str, Opposite] = {
    "drawer-open-v3": Opposite("drawer-close-v3", "goal_slidey", -0.08, -1),
    "drawer-close-v3": Opposite("drawer-open-v3", "goal_slidey", -0.08, 1),
    "window-open-v3": Opposite("window-close-v3", "window_slide", 0.1, 1),
    "window-close-v3": Opposite("window-open-v3", "window_slide", 0.1, -1),
}
"""By the task whose scene it is."""


class MidwayArm(MetaWorldArm):
    """The scene of `task`, begun half way; solved when the thing has moved by `TRAVEL` the way that is asked for.

    opposite: whether the opposite task is asked for. Raises InputError for a task that has none.
    """

    def __init__(self, task: str, *, opposite: bool) -> None:
        if task not in OPPOSITES:
            raise InputError(f"task {task!r}", expected=f"one with an opposite: {', '.join(OPPOSITES)}")
        self._scene = OPPOSITES[task]
        self._way = -self._scene.way if opposite else self._scene.way
        super().__init__(task)
        self._onlooker = MetaWorldArm(self._scene.task if opposite else task)

    @property
    def moved(self) -> int:
        """1: the thing has moved by `TRAVEL` the way that is asked for; -1: the other way; 0: neither."""
        travel = float(self._env.data.joint(self._scene.joint).qpos[0]) - self._scene.half
        return self._way * int(np.sign(travel)) if abs(travel) >= TRAVEL else 0

    @property
    def done(self) -> bool:
        """Also when the thing has moved the other way."""
        return super().done or self.moved != 0

    def reset(self, seed: int) -> None:
        """Start the episode of this seed, and bring the thing half way."""
        super().reset(seed)
        self._env.data.joint(self._scene.joint).qpos[0] = self._scene.half
        self._env.data.joint(self._scene.joint).qvel[0] = 0.0
        mujoco.mj_forward(self._env.model, self._env.data)
        self._observation = np.asarray(self._env._get_obs(), dtype=np.float64)
        self._onlooker.reset(seed)

    def apply(self, setpoint: np.ndarray) -> None:
        """One control step; what the scene's own task calls success is no matter here."""
        super().apply(setpoint)
        self.success = self.moved == 1

    def sub_instruction(self) -> str:
        """What an onlooker who wants the asked task would say now: its expert looks at a copy of this scene."""
        self._onlooker.copy_scene(self)
        return sub_instruction(self._onlooker)

    def close(self) -> None:
        """Free the simulator, the onlooker's too."""
        self._onlooker.close()
        super().close()
