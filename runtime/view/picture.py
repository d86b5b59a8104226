"""A small picture of coloured half blocks in a terminal: two pixels a character, one above the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

_SHADES = 32
"""Steps a colour is rounded to, 8 levels each: neighbours then often look alike and are written as one."""


class Picture:
    """An image, uint8 (height, width, 3), at most `columns` characters wide; rich draws it."""

    def __init__(self, image: NDArray[np.uint8], columns: int) -> None:
        self.pixels = shrink(image, columns)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = self.pixels.shape[1]
        return Measurement(width, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for row in range(0, self.pixels.shape[0], 2):
            yield from self._line(row)
            yield Segment.line()

    def _line(self, row: int) -> Iterator[Segment]:
        upper, lower = self.pixels[row], self.pixels[row + 1]
        changes = np.flatnonzero((upper[1:] != upper[:-1]).any(axis=1) | (lower[1:] != lower[:-1]).any(axis=1)) + 1
        edges = [0, *changes.tolist(), len(upper)]
        for begin, end in pairwise(edges):
            style = _style(*upper[begin].tolist(), *lower[begin].tolist())
            yield Segment("▀" * (end - begin), style)


@lru_cache(maxsize=8192)  # a camera sees much the same colours again
def _style(*rgb: int) -> Style:
    return Style(color=Color.from_rgb(*rgb[:3]), bgcolor=Color.from_rgb(*rgb[3:]))


def shrink(image: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """The image as uint8 (even height, at most `columns` wide, 3), each pixel the mean of those that it stands for."""
    height, width = image.shape[:2]
    wide = min(columns, width)
    high = max(round(height * wide / width / 2), 1) * 2
    rows = np.linspace(0, height, high + 1).astype(int)[:-1]
    across = np.linspace(0, width, wide + 1).astype(int)[:-1]
    # An image with fewer rows than the picture has repeats them: reduceat takes the row itself there.
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.float32), rows, axis=0), across, axis=1)
    counts = np.maximum(np.diff([*rows, height]), 1)[:, None, None] * np.maximum(np.diff([*across, width]), 1)[:, None]
    step = 256 // _SHADES
    means: NDArray[np.uint8] = (sums / counts // step * step).clip(0, 255).astype(np.uint8)
    return means
