"""The Meta-World tasks we use: instructions, and the phases of each task's scripted expert in words.

Meta-World's experts (`metaworld.policies`) are stateless chains of conditions; the branch taken is the phase of the
task. The predicates here restate those conditions, so that a thought can name the phase; a test holds them against the
experts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyt.errors import InputError
from hyt.simulation.mt50 import INSTRUCTIONS

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """One task: `phases` are the words of a thought's plan, `phase(hand, thing, opening)` the index of the current.

    `hand` and `thing` are positions (3,) in metres, world frame; `thing` is the handle, button, knob, puck or (reach)
    the goal. `opening` is the gripper's, 1 when open. `goal`: the thing has to be brought to a marked goal.
    """

    name: str
    instructions: tuple[str, ...]
    phases: tuple[str, ...]
    phase: Callable[[Vector, Vector, float], int]
    goal: bool = False

    @property
    def has_phases(self) -> bool:
        """Whether an onlooker can say what to do next; a task without phases can only be acted or thought on."""
        return bool(self.phases)


def _apart(hand: Vector, target: Vector) -> float:
    """Horizontal distance in metres."""
    return float(np.hypot(hand[0] - target[0], hand[1] - target[1]))


def _reach_lower_act(
    offset: tuple[float, float, float], near: float, level: float
) -> Callable[[Vector, Vector, float], int]:
    """Phases 'above it', 'down to it', 'move it' for a target at `thing + offset`."""

    def phase(hand: Vector, thing: Vector, opening: float) -> int:
        target = thing + np.array(offset)
        if _apart(hand, target) > near:
            return 0
        return 1 if abs(hand[2] - target[2]) > level else 2

    return phase


def _drawer_close(hand: Vector, thing: Vector, opening: float) -> int:
    target = thing + np.array([0.0, 0.0, -0.02])
    if hand[1] > target[1]:
        return 0 if hand[2] < target[2] + 0.23 else 1
    return 2 if abs(hand[2] - target[2]) > 0.04 else 3


def _button_press(hand: Vector, thing: Vector, opening: float) -> int:
    return 0 if _apart(hand, thing) > 0.04 else 1


def _reach(hand: Vector, thing: Vector, opening: float) -> int:
    return 0


def _pick_place(hand: Vector, thing: Vector, opening: float) -> int:
    target = thing + np.array([-0.005, 0.0, 0.0])
    if _apart(hand, target) > 0.02:
        return 0
    if abs(hand[2] - target[2]) > 0.05 and target[2] < 0.04:
        return 1
    return 2 if opening > 0.73 else 3


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "drawer-open-v3",
            ("open the drawer", "pull the drawer open", "pull open the drawer"),
            ("reach", "lower", "pull"),
            _reach_lower_act((0.0, 0.0, -0.02), 0.06, 0.04),
        ),
        Task(
            "drawer-close-v3",
            ("close the drawer", "push the drawer closed", "push the drawer shut"),
            ("rise", "reach", "lower", "push"),
            _drawer_close,
        ),
        Task(
            "door-open-v3",
            ("open the door", "pull the door open", "pull open the door"),
            ("reach", "lower", "pull"),
            _reach_lower_act((-0.05, 0.0, 0.0), 0.12, 0.04),
        ),
        Task(
            "window-open-v3",
            ("open the window", "slide the window open", "slide open the window"),
            ("reach", "lower", "slide"),
            _reach_lower_act((-0.03, -0.03, -0.08), 0.04, 0.02),
        ),
        Task(
            "window-close-v3",
            ("close the window", "slide the window closed", "slide the window shut"),
            ("reach", "lower", "slide"),
            _reach_lower_act((0.03, -0.03, -0.08), 0.04, 0.02),
        ),
        Task(
            "button-press-topdown-v3",
            ("press the button", "push the button down", "press down the button"),
            ("reach", "press"),
            _button_press,
        ),
        Task(
            "reach-v3",
            ("reach the goal", "go to the goal", "bring the gripper to the goal"),
            ("reach",),
            _reach,
        ),
        Task(
            "push-v3",
            ("push the puck to the goal", "slide the puck to the goal", "bring the puck to the goal"),
            ("reach", "lower", "push"),
            _reach_lower_act((-0.005, 0.0, 0.0), 0.02, 0.04),
            goal=True,
        ),
        Task(
            "pick-place-v3",
            ("pick the puck and place it at the goal", "lift the puck to the goal", "carry the puck to the goal"),
            ("reach", "lower", "grasp", "carry"),
            _pick_place,
            goal=True,
        ),
    )
}


def find_task(name: str) -> Task:
    """A task of `TASKS`, or another of Meta-World's fifty without phases; raises InputError for an unknown name."""
    if name in TASKS:
        return TASKS[name]
    if name not in INSTRUCTIONS:
        raise InputError(
            f"task {name!r}",
            expected=f"one of {', '.join(TASKS)}, or another of Meta-World's fifty",
            remedy="name one of them",
        )
    return Task(name, (INSTRUCTIONS[name],), (), _no_phase)


def _no_phase(hand: Vector, thing: Vector, opening: float) -> int:
    raise ValueError("a task without phases has no present one")
