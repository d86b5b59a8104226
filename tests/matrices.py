"""Matrices to round and inputs to round them by, whose columns go together as those of a network's layers do."""

from __future__ import annotations

import gguf
import numpy as np
from gguf import GGMLQuantizationType

from hyt.export.quantization.importance import InputStatistics

COLUMNS = 96


def inputs(count: int, seed: int, columns: int = COLUMNS) -> np.ndarray:
    """Inputs whose columns go together, some much larger than others, as those of a network's layers."""
    mixing = np.random.default_rng(0)
    factors = mixing.standard_normal((12, columns)) * mixing.lognormal(0, 1, columns)
    random = np.random.default_rng(seed)
    noise = 0.2 * random.standard_normal((count, columns))
    return (random.standard_normal((count, 12)) @ factors + noise).astype(np.float32)


def statistics_of(rows: np.ndarray) -> InputStatistics:
    statistics = InputStatistics(rows.shape[1], gram=True)
    for part in np.array_split(rows, 7):
        statistics.add(part)
    return statistics


def weights(rows: int = 24, columns: int = COLUMNS) -> np.ndarray:
    return (0.05 * np.random.default_rng(3).standard_normal((rows, columns))).astype(np.float32)


def restored(stored: np.ndarray) -> np.ndarray:
    return gguf.quants.dequantize(stored, GGMLQuantizationType.Q4_0)
