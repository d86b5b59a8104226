"""Collect corrections (DAgger, arXiv 1011.0686): a policy acts, the scripted expert labels every state it visits.

The expert is a function of the state, so that it can say at any time what it would do, and what it would think. A
cloned policy learns from this what to do where its own errors lead it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hyt.dataset.episode import Episode
from hyt.dataset.layout import CameraInfo
from hyt.dataset.writer import DatasetWriter
from hyt.errors import InputError
from hyt.runtime.bundle import open_bundle
from hyt.runtime.contract import Contract
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy, load
from hyt.simulation import seeds
from hyt.simulation.metaworld import CONTROL_STEP, MAX_CONTROL_STEPS, MetaWorldArm
from hyt.simulation.setpoints import check_axes, control_steps_per_step
from hyt.training.data.arm import ARM, HOLD, UNITS, Recorder, episode_name
from hyt.training.data.collect import choose_seeds, hold_action, wander
from hyt.training.data.parallel import Part, PartReport, Report, run_parts

Mode = Literal["act", "think"]

MOST_DECISIONS = 45
"""An episode ends here: a policy that is stuck shows the same state over and over."""

WANDER = 6
"""Half of the episodes begin with at most so many random decisions."""


def correct(arm: MetaWorldArm, policy: Policy, seed: int, mode: Mode, thoughts: float = 1.0) -> tuple[Episode, bool]:
    """One episode of the policy on this seed with the expert's labels, and whether the policy succeeded.

    Of an action chunk the first step is carried out. `thoughts` is the chance that the episode has thoughts.
    """
    random = np.random.default_rng([seed, 7, *arm.task.name.encode()])
    wandering = random.random() < 0.5
    while True:
        arm.reset(seed)
        if wandering:
            wander(arm, random, int(random.integers(0, WANDER + 1)))
        if not arm.success:
            break
        wandering = False  # wandering alone did the task
    recorder = Recorder(arm.task, seed, mode, thoughts)
    policy.reset(instruction=arm.task.instructions[0])  # of the phrasings the one that every policy is trained on
    while not arm.success and arm.control_steps < MAX_CONTROL_STEPS and len(recorder) < MOST_DECISIONS:
        images, state, _ = recorder.record(arm)
        observation = Observation(images, state)
        chunk = policy.act(observation) if mode == "act" else policy.think(observation).action
        if chunk is None:  # only a thought with a deadline has none
            raise InputError("thought", expected="an action behind it", received="none")
        hold_action(arm, np.clip(chunk.values[0] / UNITS, -1, 1))
    return recorder.episode(), arm.success


@dataclass(frozen=True)
class _Corrections:
    """A worker's job: corrections of a policy on some seeds of a task."""

    directory: Path
    bundle: Path
    source: str
    modes: tuple[Mode, ...]
    thoughts: float

    def __call__(self, part: Part) -> PartReport:
        writer = DatasetWriter(self.directory, ARM)
        arm = MetaWorldArm(part.task)
        successes = decisions = 0
        with load(self.bundle, threads=1) as policy:
            for seed in part.seeds:
                episode, success = correct(arm, policy, seed, self.modes[seed % len(self.modes)], self.thoughts)
                writer.stage(episode_name(part.task, seed, self.source), episode)
                successes += success
                decisions += len(episode)
        arm.close()
        return {"task": part.task, "episodes": len(part.seeds), "decisions": decisions, "successes": successes}


def collect_corrections(
    directory: Path,
    bundle: Path,
    tasks: list[str],
    episodes: int,
    *,
    modes: tuple[Mode, ...] = ("act",),
    first_seed: int = seeds.CORRECT[0],
    workers: int = 2,
    thoughts: float = 1.0,
    report: Report | None = None,
) -> None:
    """Collect `episodes` seeds of each task into the dataset `directory`; what is there of this policy is kept.

    Seeds come from `seeds.CORRECT`, from `first_seed` on; the modes take turns. `thoughts` is the part of the episodes
    that has thoughts. Raises BundleError, and InputError for a policy of another robot.
    """
    if first_seed not in seeds.CORRECT:
        raise InputError("first seed", expected=f"one of {seeds.CORRECT}", received=f"{first_seed}")
    chosen = choose_seeds(tasks, seeds.CORRECT[first_seed - seeds.CORRECT[0] :], episodes)
    opened = open_bundle(bundle)
    _check_contract(opened.contract)
    hashes = sorted((name, file.sha256) for name, file in opened.manifest.files.items() if name.endswith(".gguf"))
    # Two policies may correct the same seeds of one dataset, so the name of an episode tells of its policy.
    source = f"policy-{hashlib.sha256(str(hashes).encode()).hexdigest()[:8]}"
    job = _Corrections(directory, bundle, source, modes, thoughts)
    run_parts(job, directory, source, tasks, chosen, workers=workers, report=report)


def _check_contract(contract: Contract) -> None:
    """Raise InputError unless the policy sees and moves this arm."""
    cameras = tuple(CameraInfo(camera.name, camera.height, camera.width) for camera in contract.cameras)
    if cameras != ARM.cameras:
        raise InputError("policy: cameras", expected=f"the arm's {_list(ARM.cameras)}", received=_list(cameras))
    states = 0 if contract.state is None else len(contract.state.dimensions)
    if states not in (0, len(ARM.state)):
        raise InputError("policy: state", expected=f"the arm's {len(ARM.state)} dimensions", received=f"{states}")
    axes = list(zip(ARM.action.names, ARM.action.units, strict=True))
    check_axes("simulated arm", contract.action.dimensions, axes, 1, 1)
    if control_steps_per_step(contract) != HOLD:
        raise InputError(
            "action: step_time", expected=f"{HOLD * CONTROL_STEP} s", received=f"{contract.action.step_time} s"
        )


def _list(cameras: tuple[CameraInfo, ...]) -> str:
    return ", ".join(f"{camera.name} of {camera.height} x {camera.width}" for camera in cameras)
