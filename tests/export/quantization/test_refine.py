"""Coordinate descent on Q4_0: no single change of a level betters what it ends with, and it ends nearer than GPTQ."""

from __future__ import annotations

import numpy as np
import pytest
from matrices import inputs, restored, statistics_of, weights

from hyt.export.quantization.gptq import DAMPING, Gptq, damped
from hyt.export.quantization.q4_0 import BLOCK, half, unpack
from hyt.export.quantization.refine import refine
from hyt.export.quantization.rounding import quantize_rows


def errors(rows: np.ndarray, values: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    return np.asarray((((rows - values) @ hessian) * (rows - values)).sum(axis=1))


@pytest.fixture
def hessian() -> np.ndarray:
    statistics = statistics_of(inputs(400, 1))
    assert statistics.gram is not None
    return damped(statistics.gram / statistics.count, DAMPING)


def test_the_error_falls_and_no_other_level_of_one_column_is_better(hessian: np.ndarray) -> None:
    rows = weights(6).astype(np.float64)
    levels, scales = unpack(quantize_rows("q4_0", rows.astype(np.float32))[0])
    before = errors(rows, levels * np.repeat(scales, BLOCK, axis=1), hessian)
    for _ in range(20):
        refine(rows, levels, scales, hessian)
    values = levels * np.repeat(scales, BLOCK, axis=1)
    least = errors(rows, values, hessian)
    assert (least <= before * (1 + 1e-12)).all()
    assert least.sum() < 0.5 * before.sum()
    assert np.isin(levels, np.arange(-8, 8)).all()
    np.testing.assert_array_equal(scales, half(scales))
    better = 0
    for row in range(len(rows)):
        for column in range(rows.shape[1]):
            for step in (-1, 1):
                if not -8 <= levels[row, column] + step <= 7:
                    continue
                other = values[row].copy()
                other[column] += step * scales[row, column // BLOCK]
                better += errors(rows[row : row + 1], other[None], hessian)[0] < least[row] * (1 - 0.05)
    assert not better


def test_products_are_nearer_than_by_gptq_alone_on_inputs_that_it_has_not_seen() -> None:
    statistics, rows, unseen = statistics_of(inputs(600, 1)), weights(64), inputs(300, 2)
    gptq = Gptq(statistics)
    alone, both = gptq.compensate(rows), gptq(rows)[0]
    before, after = (np.square(unseen @ (restored(stored) - rows).T).mean() for stored in (alone, both))
    assert after < 0.95 * before


def test_a_block_whose_scale_is_zero_stays_zero(hessian: np.ndarray) -> None:
    rows = weights(3).astype(np.float64)
    levels, scales = unpack(quantize_rows("q4_0", rows.astype(np.float32))[0])
    scales[1, 2] = 0
    refine(rows, levels, scales, hessian)
    assert scales[1, 2] == 0
    assert np.isfinite(levels).all()
