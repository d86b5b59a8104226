"""GPTQ (Frantar et al. 2022, arXiv 2210.17323) onto ggml's Q4_0 grid: rounding that makes up for its own errors.

What counts is the error of a product, |X w - X q|^2 = (w - q)^T H (w - q) with H = X^T X, summed over what calibration
saw. Columns are rounded one after the other; the error of each is made up for, as far as H allows, by changing those
that are still to come. With U the upper Cholesky factor of H^-1, rounding column j by e = (w_j - q_j) / U_jj takes
e * U_jk off every later column k, and e^2 is what the column adds to the error.

A Q4_0 block is 32 columns with one float16 scale d; its weights are d * (level - 8), level 0 .. 15. When the first
column of a block comes up, d is searched: among the scales that ggml would try, each then fitted to its levels, the one
with the least sum of e^2. Blocks come in the order of their part of the trace of H, and so do the columns within one:
what matters most is rounded while most can still be changed. H gets `DAMPING` times its mean diagonal on its diagonal.

Each row is also rounded by importance, and kept so where that has the smaller error under H. Either is then bettered by
coordinate descent (`refine.py`), because a column that was rounded early is never looked at again here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hyt.export.quantization.importance import InputStatistics
from hyt.export.quantization.q4_0 import BLOCK, TYPE, Floats, half, nearest_steps, pack, unpack
from hyt.export.quantization.refine import refine
from hyt.export.quantization.rounding import ErrorSum, error_sum, quantize_rows
from hyt.runtime import _core

MOST_COLUMNS = 16384
"""Beyond this, H and its factor take more than 4 GiB, and minutes to invert."""
DAMPING = 0.01
_INVERTED = 128  # rows of a triangle that is inverted as any matrix
_LEVELS = 8 + 0.1 * np.arange(-9, 10)  # the block's largest weight at so many levels from zero, as ggml tries


class Gptq:
    """Rounds rows of one matrix to Q4_0; for several threads at once. statistics: of its inputs, with `gram`."""

    def __init__(self, statistics: InputStatistics, damping: float = DAMPING) -> None:
        assert statistics.gram is not None
        self._importance = statistics.importance()
        self._hessian = damped(statistics.gram / max(statistics.count, 1), damping)
        self._order = block_order(np.diag(self._hessian))
        self._factor = inverse_factor(self._hessian[np.ix_(self._order, self._order)])

    def __call__(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.uint8], ErrorSum]:
        """Quantise float32 (n, columns): uint8 (n, bytes of a row) and the error."""
        stored, _ = quantize_rows(TYPE, rows, self._importance)
        restored = _core.dequantize(TYPE, stored, *rows.shape)
        compensated = self.compensate(rows)
        compensated_restored = _core.dequantize(TYPE, compensated, *rows.shape)
        better = self.output_error(rows, compensated_restored) < self.output_error(rows, restored)
        stored[better] = compensated[better]
        levels, scales = unpack(stored)
        refine(rows.astype(np.float64), levels, scales, self._hessian)
        stored = pack(levels, scales)
        return stored, error_sum(rows, _core.dequantize(TYPE, stored, *rows.shape))

    def output_error(self, rows: NDArray[np.float32], restored: NDArray[np.float32]) -> Floats:
        """(w - q)^T H (w - q) of each row, (n,), as calibration weighs it."""
        difference = rows.astype(np.float64) - restored
        error: Floats = ((difference @ self._hessian) * difference).sum(axis=1)
        return error

    def compensate(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Every row by GPTQ alone, as Q4_0 blocks, uint8 (n, columns / 32 * 18)."""
        count, columns = rows.shape
        weights = rows.astype(np.float64)[:, self._order]
        levels = np.empty((count, columns))
        scales = np.empty((count, columns // BLOCK))
        for first in range(0, columns, BLOCK):
            part = slice(first, first + BLOCK)
            factor = self._factor[part, part]
            block = weights[:, part]
            scale = search_scale(block, np.diag(factor))
            errors = np.empty((count, BLOCK))
            for j in range(BLOCK):
                steps = nearest_steps(block[:, j : j + 1], scale)[:, 0]
                errors[:, j] = (block[:, j] - scale * steps) / factor[j, j]
                block[:, j + 1 :] -= errors[:, j : j + 1] * factor[j, j + 1 :]
                levels[:, self._order[first + j]] = steps
            weights[:, first + BLOCK :] -= errors @ self._factor[part, first + BLOCK :]
            scales[:, self._order[first] // BLOCK] = scale
        return pack(levels, scales)


def damped(hessian: Floats, damping: float) -> Floats:
    """H with its mean diagonal times `damping` added to its diagonal; the identity where nothing went in."""
    mean = float(np.diag(hessian).mean())
    return hessian + np.eye(len(hessian)) * (damping * mean if mean > 0 else 1.0)


def block_order(diagonal: Floats) -> NDArray[np.int64]:
    """The columns, whole blocks by their sum, and within a block each by itself: the largest first."""
    blocks = diagonal.reshape(-1, BLOCK)
    order = np.argsort(-blocks.sum(axis=1), kind="stable")
    within = np.argsort(-blocks, axis=1, kind="stable")
    columns: NDArray[np.int64] = (order[:, None] * BLOCK + within[order]).ravel()
    return columns


def inverse_factor(hessian: Floats) -> Floats:
    """The upper U with U^T U = H^-1.

    With J the reversal of all columns, J H J = L L^T gives H^-1 = (J L^-1 J)^T (J L^-1 J), and J L^-1 J is upper.
    """
    reversed_factor = np.asarray(np.linalg.cholesky(hessian[::-1, ::-1]), np.float64)
    return np.ascontiguousarray(inverse_of_lower(reversed_factor)[::-1, ::-1])


def inverse_of_lower(factor: Floats) -> Floats:
    """The inverse of a lower triangular matrix, by halves: nearly all of it is products."""
    size = len(factor)
    if size <= _INVERTED:
        return np.tril(np.linalg.inv(factor))  # exactly so: the solver exchanges rows
    half = size // 2
    inverse = np.zeros_like(factor)
    inverse[:half, :half] = inverse_of_lower(factor[:half, :half])
    inverse[half:, half:] = inverse_of_lower(factor[half:, half:])
    inverse[half:, :half] = -inverse[half:, half:] @ (factor[half:, :half] @ inverse[:half, :half])
    return inverse


def search_scale(block: Floats, factor: Floats) -> Floats:
    """The scale of each row (n,) of a block (n, 32), a float16 value, with the least sum of ((w - q) / factor)^2."""
    weight = 1 / np.square(factor)
    largest = np.take_along_axis(block, np.abs(block).argmax(axis=1)[:, None], axis=1)[:, 0]
    best = np.zeros(len(block))
    least = np.square(block) @ weight
    for level in _LEVELS:
        scale = half(-largest / level)
        steps = nearest_steps(block, scale)
        for candidate in (scale, _fitted(block, steps, weight, scale)):
            error = np.square(block - candidate[:, None] * nearest_steps(block, candidate)) @ weight
            better = error < least
            best[better], least[better] = candidate[better], error[better]
    return best


def _fitted(block: Floats, steps: Floats, weight: Floats, otherwise: Floats) -> Floats:
    """The scale that fits these levels best, as float16 holds it."""
    over, under = (block * steps) @ weight, np.square(steps) @ weight
    return half(np.divide(over, under, out=otherwise.copy(), where=under > 0))
