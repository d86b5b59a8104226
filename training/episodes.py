"""Demonstration episodes on disk: one compressed NumPy file each, read without pickle.

DIR/collection.json               what was collected, by which command line
DIR/drawer-open-v3/000017.npz     images   uint8   (T, H, W, 3) RGB
                                  states   float32 (T, S)
                                  actions  float32 (T, D)  the expert's action in [-1, 1]
                                  thoughts, sub_instructions  unicode (T,)
"""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hyt.errors import CheckpointError


@dataclass(frozen=True)
class Episode:
    """One demonstration of T decisions; arrays as in the head of this file."""

    task: str
    seed: int
    images: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float32]
    actions: npt.NDArray[np.float32]
    thoughts: npt.NDArray[np.str_]
    sub_instructions: npt.NDArray[np.str_]


def episode_path(directory: Path, task: str, seed: int) -> Path:
    """Where an episode lies."""
    return directory / task / f"{seed:06d}.npz"


def write_episode(directory: Path, episode: Episode) -> None:
    """Write an episode; a killed writer leaves no half file under the final name."""
    path = episode_path(directory, episode.task, episode.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez_compressed(
            file,
            images=episode.images,
            states=episode.states,
            actions=episode.actions,
            thoughts=episode.thoughts,
            sub_instructions=episode.sub_instructions,
        )
    os.replace(temporary, path)


def read_episode(path: Path) -> Episode:
    """Read one episode; raises CheckpointError when it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            episode = Episode(
                task=path.parent.name,
                seed=int(path.stem),
                images=file["images"],
                states=file["states"],
                actions=file["actions"],
                thoughts=file["thoughts"],
                sub_instructions=file["sub_instructions"],
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as problem:
        raise CheckpointError(f"{path}", expected="an episode file", received=str(problem)) from None
    lengths = {len(episode.images), len(episode.states), len(episode.actions), len(episode.thoughts)}
    if len(lengths) != 1:
        raise CheckpointError(f"{path}", expected="arrays of one length", received=f"lengths {sorted(lengths)}")
    return episode
