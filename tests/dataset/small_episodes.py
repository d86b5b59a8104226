"""Small random episodes of two cameras, and the pictures that were encoded into them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hyt.dataset import CameraInfo, DatasetWriter, Episode, Layout, VectorInfo, encode_png

LAYOUT = Layout(
    fps=16,
    cameras=(CameraInfo("front", 12, 20), CameraInfo("wrist", 8, 8)),
    state=VectorInfo(("x", "y", "opening"), ("m", "m", "1")),
    action=VectorInfo(("dx", "gripper"), ("m", "1")),
    robot="toy",
)

Pictures = dict[str, npt.NDArray[np.uint8]]


def episode(number: int, length: int = 5, thoughts: bool = True) -> tuple[Episode, Pictures]:
    """An episode that its number decides, and its pictures (T, H, W, 3) by camera."""
    random = np.random.default_rng(number)
    pictures = {c.name: random.integers(0, 256, (length, c.height, c.width, 3), np.uint8) for c in LAYOUT.cameras}
    return Episode(
        task=f"task {number % 2}",
        instruction=f"do task {number % 2}",
        images={name: [encode_png(image) for image in images] for name, images in pictures.items()},
        states=random.normal(size=(length, 3)).astype(np.float32),
        actions=random.uniform(-1, 1, (length, 2)).astype(np.float32),
        thoughts=[f"thought {number} {i}" for i in range(length)] if thoughts else None,
        sub_instructions=[f"part {number} {i}" for i in range(length)] if thoughts else None,
        seed=number,
        source="expert",
    ), pictures


def write(folder: Path, numbers: range, *, file_bytes: int = 100_000_000) -> None:
    """Write the episodes of these numbers, of 4 to 40 decisions; every third has no thoughts."""
    writer = DatasetWriter(folder, LAYOUT, file_bytes=file_bytes)
    for number in numbers:
        writer.stage(f"episode-{number:03d}", episode(number, length_of(number), number % 3 != 2)[0])
    writer.pack()


def length_of(number: int) -> int:
    """Length of an episode that `write` writes; some are longer than a row group."""
    return 4 + number * 13 % 37
