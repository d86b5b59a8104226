"""What a dataset is made of: decisions, and the episodes in which they were taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Decision:
    """One data point."""

    images: Mapping[str, npt.NDArray[np.uint8]]
    """uint8 (H, W, 3) RGB by camera name."""
    state: npt.NDArray[np.float32]
    """float32 (S,) in the dataset's units."""
    action: npt.NDArray[np.float32]
    """float32 (steps, D) in the dataset's units: this decision's and the following ones; past the end of the episode
    the last is repeated."""
    instruction: str
    thought: str | None
    """None where the episode has no thoughts."""
    sub_instruction: str | None
    task: str
    """LeRobot's text of the task; `instruction` is one of its phrasings."""
    episode: int
    index: int
    """Number of the decision in its episode."""


@dataclass(frozen=True)
class Episode:
    """T decisions on their way to disk; images are encoded already."""

    task: str
    instruction: str
    images: Mapping[str, Sequence[bytes]]
    """T encoded images by camera name."""
    states: npt.NDArray[np.float32]
    """float32 (T, S)."""
    actions: npt.NDArray[np.float32]
    """float32 (T, D)."""
    thoughts: Sequence[str] | None = None
    """T texts; None when the episode has none."""
    sub_instructions: Sequence[str] | None = None
    seed: int = -1
    """What the simulator was reset with; -1 outside of a simulator."""
    source: str = ""
    """Who acted: `expert`, or a policy's modality."""

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class EpisodeInfo:
    """What the metadata says of an episode on disk."""

    index: int
    length: int
    task: str
    name: str = ""
    """The key under which it was written; empty in datasets of others."""
    seed: int = -1
    source: str = ""
