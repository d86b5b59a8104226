"""A small data set of what a tiny policy of `checkpoints` sees: random images and states, its own words.

write_observations(folder, contract)      # 6 episodes of two tasks, 4 decisions each, all with sub-instructions
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hyt.dataset import CameraInfo, DatasetWriter, Episode, Layout, VectorInfo, encode_png
from hyt.runtime.contract import Contract


def write_observations(folder: Path, contract: Contract, *, episodes: int = 6, length: int = 4) -> Path:
    """Write the data set; every instruction is one of the contract's."""
    assert contract.state is not None
    state, action = contract.state.dimensions, contract.action.dimensions
    layout = Layout(
        fps=16,
        cameras=tuple(CameraInfo(c.name, c.height, c.width) for c in contract.cameras),
        state=VectorInfo(tuple(d.name for d in state), tuple(d.unit for d in state)),
        action=VectorInfo(tuple(d.name for d in action), tuple(d.unit for d in action)),
    )
    writer = DatasetWriter(folder, layout)
    for number in range(episodes):
        random = np.random.default_rng(number)
        instruction = contract.instructions[number % 2]
        pictures = {
            c.name: [encode_png(random.integers(0, 256, (c.height, c.width, 3), np.uint8)) for _ in range(length)]
            for c in contract.cameras
        }
        episode = Episode(
            task=instruction,
            instruction=instruction,
            images=pictures,
            states=random.uniform(-1, 1, (length, len(state))).astype(np.float32),
            actions=random.uniform(-0.5, 0.5, (length, len(action))).astype(np.float32),
            thoughts=["PLAN reach"] * length,
            sub_instructions=["MOVE left"] * length,
        )
        writer.stage(f"{number:03d}", episode)
    writer.pack()
    return folder
