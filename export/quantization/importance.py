"""Statistics of what a weight matrix is multiplied with: which of its columns matter, and which go together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROWS = 512  # gathered before they are multiplied: a product for each decoded token would touch all of x x^T


class InputStatistics:
    """Of the inputs x (columns,) of a matrix: their weights, and the sums of x * x and, where wanted, of x x^T."""

    def __init__(self, columns: int, *, gram: bool) -> None:
        self.count = 0.0
        self.squares = np.zeros(columns, dtype=np.float64)
        self._gram = np.zeros((columns, columns), dtype=np.float64) if gram else None
        self._waiting: list[NDArray[np.float32]] = []

    def add(self, rows: NDArray[np.float32], weight: float = 1.0) -> None:
        """Count float32 (n, columns), each row `weight` times."""
        self.count += weight * len(rows)
        if weight != 1:
            rows = rows * np.float32(weight**0.5)
        self.squares += np.square(rows, dtype=np.float64).sum(axis=0)
        if self._gram is not None:
            self._waiting.append(rows)
            if sum(map(len, self._waiting)) >= _ROWS:
                self._multiply()

    @property
    def gram(self) -> NDArray[np.float64] | None:
        """The sum of x x^T, (columns, columns); None where it was not wanted."""
        self._multiply()
        return self._gram

    def importance(self) -> NDArray[np.float32]:
        """Mean of x * x for each column, float32 (columns,): how much a squared error of its weight counts.

        A column that was hardly used counts a thousandth of the mean: calibration saw a few scenes only.
        """
        mean = self.squares / max(self.count, 1)
        importance: NDArray[np.float32] = np.maximum(mean, 1e-3 * mean.mean() + 1e-30).astype(np.float32)
        return importance

    def _multiply(self) -> None:
        if self._gram is not None and self._waiting:
            rows = np.concatenate(self._waiting)
            self._gram += rows.T @ rows
            self._waiting.clear()
