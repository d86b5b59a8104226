"""Observations of a data set for calibration, and others, of other episodes, to judge what came of it.

Both halves are spread evenly over the tasks and, within a task, over its episodes; which episodes and which of their
frames is decided by a fixed seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hyt.errors import DatasetError, InputError, MissingDependencyError
from hyt.runtime.contract import Contract
from hyt.runtime.observation import Observation, check_observation

if TYPE_CHECKING:
    from hyt.dataset import Dataset

SEED = 0
OBSERVATIONS = 128
MOST_OBSERVATIONS = 65536


@dataclass(frozen=True)
class Sample:
    """One decision: what the policy is told and shown; `sub_instruction` where the data set has one."""

    instruction: str
    sub_instruction: str | None
    observation: Observation


@dataclass(frozen=True)
class Calibration:
    """Samples to calibrate on and samples to judge by, of different episodes; `facts` for the report."""

    fit: tuple[Sample, ...]
    held_out: tuple[Sample, ...]
    facts: dict[str, Any]


def read_calibration(
    path: str | os.PathLike[str], contract: Contract, observations: int = OBSERVATIONS, held_out: int | None = None
) -> Calibration:
    """Choose `observations` to calibrate on and `held_out` (None: as many) others to judge by from a LeRobot data set.

    Fewer are taken where the data set has fewer. Raises DatasetError for a damaged data set or one of fewer than two
    episodes, InputError where an observation does not fit the contract, MissingDependencyError without pyarrow.
    """
    counts = (observations, observations if held_out is None else held_out)
    for count in counts:
        if not 1 <= count <= MOST_OBSERVATIONS:
            raise InputError("calibration observations", expected=f"1 to {MOST_OBSERVATIONS}", received=str(count))
    try:
        from hyt.dataset import open_dataset
    except ImportError as problem:
        raise MissingDependencyError(
            f"calibration on {path}",
            expected="pyarrow and Pillow",
            received=str(problem),
            remedy="install hyt[dataset]",
        ) from None
    dataset = open_dataset(Path(path))
    if len(dataset.episodes) < 2:
        raise DatasetError(
            f"{path}",
            expected="at least two episodes: one to calibrate on, one to judge by",
            received=f"{len(dataset.episodes)}",
        )
    halves = [
        tuple(_sample(dataset, frame, contract) for frame in _spread(dataset, half, count))
        for half, count in zip(_halves(dataset), counts, strict=True)
    ]
    facts = {
        "observations": len(halves[0]),
        "held_out": len(halves[1]),
        "episodes": len(dataset.episodes),
        "tasks": len({episode.task for episode in dataset.episodes}),
        "seed": SEED,
    }
    return Calibration(halves[0], halves[1], facts)


def _halves(dataset: Dataset) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Positions of the episodes of each half by task, in random order; a task of one episode is in turn in either."""
    random = np.random.default_rng(SEED)
    by_task: dict[str, list[int]] = {}
    for position, episode in enumerate(dataset.episodes):
        by_task.setdefault(episode.task, []).append(position)
    halves: tuple[dict[str, list[int]], dict[str, list[int]]] = ({}, {})
    turn = 0
    for task, positions in by_task.items():
        for position in random.permutation(positions).tolist():
            halves[turn].setdefault(task, []).append(position)
            turn = 1 - turn
    return halves


def _spread(dataset: Dataset, half: dict[str, list[int]], count: int) -> list[int]:
    """Indices of at most `count` decisions: a task after the other, of each task an episode after the other."""
    random = np.random.default_rng(SEED + 1)
    lengths = np.array([episode.length for episode in dataset.episodes])
    starts = np.cumsum(lengths) - lengths

    def of_task(positions: list[int]) -> Iterator[int]:
        frames = {position: iter(random.permutation(lengths[position]).tolist()) for position in positions}
        while frames:
            for position in list(frames):
                frame = next(frames[position], None)
                if frame is None:
                    del frames[position]
                else:
                    yield int(starts[position]) + frame

    tasks = [of_task(positions) for positions in half.values()]
    chosen: list[int] = []
    while tasks and len(chosen) < count:
        for task in list(tasks):
            index = next(task, None)
            if index is None:
                tasks.remove(task)
            elif len(chosen) < count:
                chosen.append(index)
    return chosen


def _sample(dataset: Dataset, index: int, contract: Contract) -> Sample:
    decision = dataset[index]
    seen = {camera.name for camera in contract.cameras}
    images = {name: image for name, image in decision.images.items() if name in seen}
    observation = Observation(images, () if contract.state is None else decision.state)
    try:
        check_observation(observation, contract)
    except InputError as problem:
        raise InputError(
            f"calibration, episode {decision.episode}, frame {decision.index}: {problem.subject}",
            expected=problem.expected,
            received=problem.received,
            remedy="calibrate on data as the policy was trained on",
        ) from None
    return Sample(decision.instruction, decision.sub_instruction, observation)
