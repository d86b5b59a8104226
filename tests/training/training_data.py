"""Random episodes in the shape of real ones, in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hyt.simulation.tasks import TASKS
from hyt.training import data
from hyt.training.data.arm import ARM, UNITS
from hyt.training.episodes import Episode


def random_episode(random: np.random.Generator, task: str, length: int, seed: int = 0) -> Episode:
    """An episode of `length` decisions with random pictures, states, actions, and well-formed thoughts."""
    phases = TASKS[task].phases
    subs = [f"subtask {phases[random.integers(len(phases))]} move down back" for _ in range(length)]
    thoughts = [
        f"plan {' '.join(phases)} {s} gripper <p01> <p02> object <p{random.integers(64):02d}> <p04>" for s in subs
    ]
    return Episode(
        task=task,
        seed=seed,
        images=random.integers(0, 256, (length, 128, 128, 3), dtype=np.uint8),
        states=random.uniform([-0.3, 0.5, 0.1, 0.0], [0.3, 0.9, 0.4, 1.0], (length, 4)).astype(np.float32),
        actions=random.uniform(-1, 1, (length, 4)).astype(np.float32),
        thoughts=np.array(thoughts),
        sub_instructions=np.array(subs),
    )


def write_episode(folder: Path, episode: Episode, number: int) -> None:
    """Stage an episode for the dataset in `folder`; `DatasetWriter(folder, ARM).pack()` makes it one."""
    staged = data.Episode(
        task=TASKS[episode.task].instructions[0],
        instruction=TASKS[episode.task].instructions[0],
        images={ARM.cameras[0].name: [data.encode_png(image) for image in episode.images]},
        states=episode.states,
        actions=(episode.actions * UNITS).astype(np.float32),
        thoughts=episode.thoughts.tolist(),
        sub_instructions=episode.sub_instructions.tolist(),
    )
    data.DatasetWriter(folder, ARM).stage(f"{number:03d}", staged)
