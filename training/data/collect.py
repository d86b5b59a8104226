"""Collect demonstrations: the scripted expert decides, the arm is disturbed, the labels stay the expert's.

Disturbed episodes show the policy states that the expert alone never visits, each labelled with what the expert would
do there; without them a cloned policy drifts off the demonstrations and does not come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hyt.dataset.episode import Episode
from hyt.dataset.writer import DatasetWriter
from hyt.errors import InputError
from hyt.simulation import seeds
from hyt.simulation.metaworld import MAX_CONTROL_STEPS, METRES_PER_UNIT, MetaWorldArm
from hyt.simulation.tasks import TASKS
from hyt.training.data.arm import ARM, HOLD, Recorder, episode_name
from hyt.training.data.parallel import Part, PartReport, Report, run_parts


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


def wander(arm: MetaWorldArm, random: np.random.Generator, decisions: int) -> None:
    """Move at random before the first decision, so that episodes start from everywhere."""
    direction = random.uniform(-1, 1, 3)
    for _ in range(decisions):
        direction = np.clip(direction + random.normal(0, 0.3, 3), -1, 1)
        hold_action(arm, np.append(direction, random.choice([-1.0, 1.0])))


def demonstrate(arm: MetaWorldArm, seed: int, disturbance: Disturbance, thoughts: float = 1.0) -> Episode | None:
    """One episode of the expert on this seed, or None when it did not succeed or had nothing left to do.

    `thoughts` is the chance that the episode has thoughts.
    """
    random = np.random.default_rng([seed, len(arm.task.name)])
    disturbed = random.random() < disturbance.episodes
    arm.reset(seed)
    if disturbed:
        wander(arm, random, int(random.integers(0, disturbance.start + 1)))
    recorder = Recorder(arm.task, seed, "expert", thoughts)
    kicks = 0
    kick = np.zeros(3)
    while not arm.success and arm.control_steps < MAX_CONTROL_STEPS:
        _, _, action = recorder.record(arm)
        if disturbed:
            if kicks == 0 and random.random() < disturbance.kick:
                kicks, kick = int(random.integers(1, 4)), random.uniform(-1, 1, 3)
            noise = random.normal(0.0, disturbance.noise, 3)
            action[:3] = np.clip(kick if kicks else action[:3] + noise, -1, 1)
            kicks = max(kicks - 1, 0)
        hold_action(arm, action)
    if not arm.success or not len(recorder):  # the expert failed, or wandering alone did the task
        return None
    return recorder.episode()


@dataclass(frozen=True)
class _Experts:
    """A worker's job: demonstrations of some seeds of a task."""

    directory: Path
    disturbance: Disturbance
    thoughts: float

    def __call__(self, part: Part) -> PartReport:
        writer = DatasetWriter(self.directory, ARM)
        arm = MetaWorldArm(part.task)
        episodes = decisions = 0
        for seed in part.seeds:
            name = episode_name(part.task, seed)
            episode = demonstrate(arm, seed, self.disturbance, self.thoughts)
            if episode is None:
                writer.stage_nothing(name)
                continue
            writer.stage(name, episode)
            episodes += 1
            decisions += len(episode)
        arm.close()
        return {"task": part.task, "episodes": episodes, "decisions": decisions}


def collect(
    directory: Path,
    tasks: list[str],
    episodes: int,
    *,
    workers: int = 2,
    thoughts: float = 1.0,
    disturbance: Disturbance | None = None,
    report: Report | None = None,
) -> None:
    """Collect `episodes` seeds of each task into the dataset `directory`; what is there already is kept.

    Seeds come from `seeds.COLLECT`, the same numbers for each task; a seed on which the expert fails yields no episode.
    `thoughts` is the part of the episodes that has thoughts. A killed collection goes on where it was.
    """
    chosen = choose_seeds(tasks, seeds.COLLECT, episodes)
    job = _Experts(directory, disturbance or Disturbance(), thoughts)
    run_parts(job, directory, "expert", tasks, chosen, workers=workers, report=report)


def choose_seeds(tasks: list[str], seeds: range, episodes: int) -> range:
    """The first `episodes` of the seeds; raises InputError when there are fewer, or for an unknown task."""
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise InputError(f"task {unknown[0]!r}", expected=f"one of {', '.join(TASKS)}", remedy="name one of them")
    if episodes > len(seeds):
        raise InputError("episodes", expected=f"at most {len(seeds)} for each task", received=f"{episodes}")
    return seeds[:episodes]
