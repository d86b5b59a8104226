"""Demonstration episodes in memory, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Episode:
    """One demonstration of T decisions.

    images uint8 (T, H, W, 3) RGB; states float32 (T, S); actions float32 (T, D), the expert's in [-1, 1]; thoughts and
    sub_instructions unicode (T,).
    """

    task: str
    seed: int
    images: npt.NDArray[np.uint8]
    states: npt.NDArray[np.float32]
    actions: npt.NDArray[np.float32]
    thoughts: npt.NDArray[np.str_]
    sub_instructions: npt.NDArray[np.str_]
