"""Random decisions in the shape of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hyt.dataset import DatasetWriter, Decision, Episode, encode_png
from hyt.simulation.tasks import TASKS
from hyt.training.data.arm import ARM, UNITS


def random_texts(random: np.random.Generator, task: str) -> tuple[str, str]:
    """A well-formed thought and its sub-instruction."""
    phases = TASKS[task].phases
    sub = f"subtask {phases[random.integers(len(phases))]} move down back"
    return f"plan {' '.join(phases)} {sub} gripper <p01> <p02> object <p{random.integers(64):02d}> <p04>", sub


def random_decisions(seed: int, count: int, *, thoughts: float = 1.0, task: str = "drawer-open-v3") -> list[Decision]:
    """`count` decisions; a part `thoughts` of them, spread evenly, has thoughts."""
    random = np.random.default_rng(seed)
    decisions = []
    for index in range(count):
        thought, sub_instruction = random_texts(random, task)
        has_thought = int((index + 1) * thoughts) > int(index * thoughts)
        decisions.append(
            Decision(
                images={"corner2": random.integers(0, 256, (128, 128, 3), dtype=np.uint8)},
                state=random.uniform([-0.3, 0.5, 0.1, 0.0], [0.3, 0.9, 0.4, 1.0]).astype(np.float32),
                action=random.uniform(-1, 1, (1, 4)).astype(np.float32) * UNITS.astype(np.float32),
                instruction=TASKS[task].instructions[index % 3],
                thought=thought if has_thought else None,
                sub_instruction=sub_instruction if has_thought else None,
                task=task,
                episode=0,
                index=index,
            )
        )
    return decisions


def write_dataset(folder: Path, episodes: int = 26, length: int = 3) -> Path:
    """A dataset of random decisions; the twenty-fifth episode is held out."""
    writer = DatasetWriter(folder, ARM)
    for number in range(episodes):
        decisions = random_decisions(number, length)
        episode = Episode(
            task=decisions[0].task,
            instruction=decisions[0].instruction,
            images={"corner2": [encode_png(decision.images["corner2"]) for decision in decisions]},
            states=np.stack([decision.state for decision in decisions]),
            actions=np.stack([decision.action[0] for decision in decisions]),
            thoughts=[str(decision.thought) for decision in decisions],
            sub_instructions=[str(decision.sub_instruction) for decision in decisions],
        )
        writer.stage(f"{number:06d}", episode)
    writer.pack()
    return folder
