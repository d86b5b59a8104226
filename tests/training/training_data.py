"""Random episodes in the shape of real ones."""

from __future__ import annotations

import numpy as np

from hyt.simulation.tasks import TASKS
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
