"""Rewrite another's dataset in our layout: chosen features under their usual names, images inside of the data files.

Not needed for training, which reads any LeRobotDataset as it is; it makes reading in any order fast where cameras are
videos or row groups are large, and the result no longer needs PyAV.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hyt.dataset.episode import Episode
from hyt.dataset.files import INFO
from hyt.dataset.images import encode_png
from hyt.dataset.layout import Layout
from hyt.dataset.reader import Dataset
from hyt.dataset.writer import DatasetWriter
from hyt.errors import OutputExistsError


def import_dataset(source: Dataset, output: Path, *, report: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Write all of `source`, opened with `chunk_steps=1`, to the folder `output`; one episode is in memory at a time.

    Needs the space of the dataset twice while it packs. A killed import goes on where it was. Raises OutputExistsError
    when there is a finished dataset.
    """
    if (output / INFO).exists():
        raise OutputExistsError(f"{output}", expected="no dataset", received="one", remedy="name another folder")
    info = source.info
    writer = DatasetWriter(output, Layout(info.fps, info.cameras, info.state, info.action, info.robot))
    known = writer.names()
    for number, episode in enumerate(source.episodes):
        name = f"episode-{episode.index:08d}"
        if name in known:
            continue
        writer.stage(name, _episode(source.select([number])))
        if report is not None:
            report({"episode": episode.index, "decisions": episode.length})
    writer.pack()


def _episode(part: Dataset) -> Episode:
    """The one episode of `part`, encoded again."""
    info = part.episodes[0]
    images: dict[str, list[bytes]] = {camera.name: [] for camera in part.info.cameras}
    states, actions, thoughts, sub_instructions = [], [], [], []
    instruction = ""
    for decision in part:
        for name, image in decision.images.items():
            images[name].append(encode_png(image))
        states.append(decision.state)
        actions.append(decision.action[0])
        thoughts.append(decision.thought or "")
        sub_instructions.append(decision.sub_instruction or "")
        instruction = instruction or decision.instruction
    return Episode(
        task=info.task,
        instruction=instruction,
        images=images,
        states=np.stack(states),
        actions=np.stack(actions),
        thoughts=thoughts if any(thoughts) else None,
        sub_instructions=sub_instructions if any(sub_instructions) else None,
        seed=info.seed,
        source=info.source,
    )
