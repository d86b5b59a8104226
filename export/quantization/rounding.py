"""Rounds rows of a matrix to a type through ggml, and measures what that costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hyt.runtime import _core

# ggml searches the best scale of a block for these when it is told how much each column matters.
_SEARCHED = frozenset({"q4_0", "q4_1", "q4_k", "iq4_nl", "iq4_xs", "q5_0", "q5_k", "q6_k"})


@dataclass
class ErrorSum:
    """Error of a quantisation, added up over `count` weights: relative RMS error and largest absolute error."""

    count: int = 0
    squared_error: float = 0.0
    squared_weight: float = 0.0
    largest: float = 0.0

    def add(self, other: ErrorSum) -> None:
        """Count the rows of `other` too."""
        self.count += other.count
        self.squared_error += other.squared_error
        self.squared_weight += other.squared_weight
        self.largest = max(self.largest, other.largest)

    @property
    def relative(self) -> float:
        """Square root of the summed squared error over the summed squared weight."""
        return float((self.squared_error / self.squared_weight) ** 0.5) if self.squared_weight else 0.0


def quantize_rows(
    type: str, rows: NDArray[np.float32], importance: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.uint8], ErrorSum]:
    """Quantise float32 (n, columns): uint8 (n, bytes of a row) and the error.

    importance: float32 (columns,), how much a squared error in each column counts; None: all the same. For the types
    whose scales ggml searches, each row is rounded plainly, searched with an importance of ones and with the one given,
    and the result with the least (weighed) squared error is kept.
    """
    stored, restored = _round_trip(type, rows, None)
    errors = _row_errors(rows, restored, importance)
    if type in _SEARCHED:
        candidates = [np.ones(rows.shape[1], dtype=np.float32)]
        if importance is not None:
            candidates.append(importance)
        for weights in candidates:
            other, other_restored = _round_trip(type, rows, weights)
            other_errors = _row_errors(rows, other_restored, importance)
            better = other_errors < errors
            stored[better], restored[better] = other[better], other_restored[better]
            errors[better] = other_errors[better]
    return stored, error_sum(rows, restored)


def error_sum(rows: NDArray[np.float32], restored: NDArray[np.float32]) -> ErrorSum:
    """The error of float32 `restored` against `rows`, both (n, columns)."""
    difference = restored - rows
    return ErrorSum(
        count=rows.size,
        squared_error=float(np.square(difference, dtype=np.float64).sum()),
        squared_weight=float(np.square(rows, dtype=np.float64).sum()),
        largest=float(np.abs(difference).max(initial=0.0)),
    )


def _round_trip(
    type: str, rows: NDArray[np.float32], importance: NDArray[np.float32] | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    stored = _core.quantize(type, rows, importance)
    return stored.reshape(rows.shape[0], -1), _core.dequantize(type, stored, *rows.shape)


def _row_errors(
    rows: NDArray[np.float32], restored: NDArray[np.float32], importance: NDArray[np.float32] | None
) -> NDArray[np.float64]:
    squared = np.square(restored - rows, dtype=np.float64)
    errors: NDArray[np.float64] = squared.sum(axis=1) if importance is None else squared @ importance
    return errors
