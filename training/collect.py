"""Collect demonstrations: the scripted expert decides, the arm is disturbed, the labels stay the expert's.

Disturbed episodes show the policy states that the expert alone never visits, each labelled with what the expert would
do there; without them a cloned policy drifts off the demonstrations and does not come back.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hyt.errors import InputError
from hyt.simulation import seeds
from hyt.simulation.metaworld import MAX_CONTROL_STEPS, METRES_PER_UNIT, MetaWorldArm
from hyt.simulation.tasks import TASKS
from hyt.simulation.thoughts import sub_instruction, thought
from hyt.training.episodes import Episode, episode_path, write_episode

HOLD = 5
"""Control steps for which one decision is held."""


@dataclass(frozen=True)
class Disturbance:
    """How the arm is disturbed while the expert's labels stay clean (actions are in [-1, 1])."""

    episodes: float = 0.75
    """Part of the episodes that is disturbed."""
    noise: float = 0.25
    """Standard deviation of the noise on each motion axis."""
    kick: float = 0.08
    """Chance, at each decision, of a random motion held for one to three decisions."""
    start: int = 8
    """At most so many random decisions before the first."""


def hold_action(arm: MetaWorldArm, action: npt.NDArray[np.float64]) -> None:
    """Hold one action (4,) in [-1, 1] for `HOLD` control steps, or until the task is done."""
    limits = arm.limits
    for _ in range(HOLD):
        position = np.clip(arm.setpoint + METRES_PER_UNIT * action[:3], limits[:3, 0], limits[:3, 1])
        arm.apply(np.append(position, action[3]))
        if arm.success:
            return


def demonstrate(arm: MetaWorldArm, seed: int, disturbance: Disturbance) -> Episode | None:
    """One episode of the expert on this seed, or None when it did not succeed or had nothing left to do."""
    random = np.random.default_rng([seed, len(arm.task.name)])
    disturbed = random.random() < disturbance.episodes
    arm.reset(seed)
    if disturbed:
        _wander(arm, random, int(random.integers(0, disturbance.start + 1)))
    images, states, actions, thoughts, sub_instructions = [], [], [], [], []
    kicks = 0
    kick = np.zeros(3)
    while not arm.success and arm.control_steps < MAX_CONTROL_STEPS:
        observed, state = arm.observe()
        action = arm.expert()
        images.append(next(iter(observed.values())))
        states.append(state)
        actions.append(action.astype(np.float32))
        thoughts.append(thought(arm))
        sub_instructions.append(sub_instruction(arm))
        if disturbed:
            if kicks == 0 and random.random() < disturbance.kick:
                kicks, kick = int(random.integers(1, 4)), random.uniform(-1, 1, 3)
            noise = random.normal(0.0, disturbance.noise, 3)
            action[:3] = np.clip(kick if kicks else action[:3] + noise, -1, 1)
            kicks = max(kicks - 1, 0)
        hold_action(arm, action)
    if not arm.success or not actions:  # the expert failed, or wandering alone did the task
        return None
    return Episode(
        task=arm.task.name,
        seed=seed,
        images=np.stack(images),
        states=np.stack(states),
        actions=np.stack(actions),
        thoughts=np.array(thoughts),
        sub_instructions=np.array(sub_instructions),
    )


def _wander(arm: MetaWorldArm, random: np.random.Generator, decisions: int) -> None:
    """Move at random before the first decision, so that episodes start from everywhere."""
    direction = random.uniform(-1, 1, 3)
    for _ in range(decisions):
        direction = np.clip(direction + random.normal(0, 0.3, 3), -1, 1)
        hold_action(arm, np.append(direction, random.choice([-1.0, 1.0])))


def _collect_part(part: tuple[Path, str, list[int], Disturbance]) -> tuple[str, int, int, int]:
    """Worker: collect some seeds of one task; returns (task, episodes, decisions, failures)."""
    directory, task, numbers, disturbance = part
    arm = MetaWorldArm(task)
    episodes = decisions = failures = 0
    for seed in numbers:
        if episode_path(directory, task, seed).exists():
            episodes += 1
            continue
        episode = demonstrate(arm, seed, disturbance)
        if episode is None:
            failures += 1
            continue
        write_episode(directory, episode)
        episodes += 1
        decisions += len(episode.actions)
    arm.close()
    return task, episodes, decisions, failures


def collect(
    directory: Path,
    tasks: list[str],
    episodes: int,
    *,
    workers: int = 2,
    disturbance: Disturbance | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Collect `episodes` seeds of each task into `directory`; episodes that are there already are kept.

    Seeds come from `seeds.COLLECT`, the same numbers for each task; a seed on which the expert fails yields no episode.
    """
    disturbance = disturbance or Disturbance()
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise InputError(f"task {unknown[0]!r}", expected=f"one of {', '.join(TASKS)}", remedy="name one of them")
    chosen = list(seeds.COLLECT[:episodes])
    chunks = [chosen[start : start + 25] for start in range(0, len(chosen), 25)]
    parts = [(directory, task, chunk, disturbance) for chunk in chunks for task in tasks]
    directory.mkdir(parents=True, exist_ok=True)
    for task, kept, decisions, failures in _run(parts, workers):
        if report is not None:
            report({"task": task, "episodes": kept, "decisions": decisions, "failures": failures})
    description = {"tasks": tasks, "seeds": episodes, "hold": HOLD, "disturbance": vars(disturbance)}
    (directory / "collection.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def _run(parts: list[tuple[Path, str, list[int], Disturbance]], workers: int) -> Iterator[tuple[str, int, int, int]]:
    """Collect the parts here or in fresh processes: graphics contexts do not survive a fork."""
    if workers <= 1:
        yield from map(_collect_part, parts)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_collect_part, parts)
