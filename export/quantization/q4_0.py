"""The grid of ggml's Q4_0: blocks of 32 weights, each a level -8 .. 7 times the float16 scale of its block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TYPE = "q4_0"
BLOCK = 32
LOWEST, HIGHEST = -8, 7

Floats = NDArray[np.float64]


def nearest_steps(weights: Floats, scale: Floats) -> Floats:
    """How many scales (n,) each of the weights (n, m) is from zero, by the nearest level."""
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
    steps: Floats = np.clip(np.rint(weights * inverse[:, None]), LOWEST, HIGHEST)
    return steps


def half(values: Floats) -> Floats:
    """Rounded to float16, what is too large to its largest."""
    limit = float(np.finfo(np.float16).max)
    rounded: Floats = np.clip(values, -limit, limit).astype(np.float16).astype(np.float64)
    return rounded


def pack(levels: Floats, scales: Floats) -> NDArray[np.uint8]:
    """ggml's block_q4_0 of levels (n, columns) and scales (n, columns / 32), uint8 (n, columns / 32 * 18).

    A block is its scale, then 16 bytes, of which byte i holds level i in its low half and i + 16 above, both plus 8.
    """
    count, blocks = scales.shape
    halves = (levels - LOWEST).astype(np.uint8).reshape(count, blocks, 2, BLOCK // 2)
    packed = halves[:, :, 0] | (halves[:, :, 1] << 4)
    held = scales.astype(np.float16).view(np.uint8).reshape(count, blocks, 2)
    return np.concatenate([held, packed], axis=2).reshape(count, -1)


def unpack(stored: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Levels (n, columns) and scales (n, columns / 32) of packed blocks."""
    blocks = stored.reshape(len(stored), -1, 2 + BLOCK // 2)
    scales = np.ascontiguousarray(blocks[:, :, :2]).view(np.float16)[:, :, 0].astype(np.float64)
    halves = np.concatenate([blocks[:, :, 2:] & 15, blocks[:, :, 2:] >> 4], axis=2)
    return halves.reshape(len(stored), -1) + float(LOWEST), scales
