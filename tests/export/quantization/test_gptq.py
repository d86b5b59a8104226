"""GPTQ on the Q4_0 grid against its definition, written out, and against plain rounding on inputs it has not seen."""

from __future__ import annotations

import numpy as np
import pytest
from matrices import COLUMNS, inputs, restored, statistics_of, weights

from hyt.export.quantization.gptq import DAMPING, Gptq, block_order, damped, inverse_factor, search_scale
from hyt.export.quantization.q4_0 import BLOCK, nearest_steps
from hyt.export.quantization.rounding import quantize_rows


def by_definition(weight: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """One row, a column after the other; after each, those to come are those that make the error under H least.

    With errors e of the columns that are rounded, the change d of the others is the least of (e, d)^T H (e, d).
    """
    order = block_order(np.diag(hessian))
    original = weight.astype(np.float64)
    current, rounded = original.copy(), np.zeros_like(original)
    done: list[int] = []
    for number, column in enumerate(order):
        if number % BLOCK == 0:
            part = order[number : number + BLOCK]
            left = order[number:]
            # What rounding a column costs: 1 / (H_FF^-1)_jj over the columns F that are then still to come.
            cost = []
            for k in range(len(part)):
                rest = left[k:]
                cost.append(np.linalg.inv(hessian[np.ix_(rest, rest)])[0, 0])
            scale = search_scale(current[None, part], np.sqrt(cost))
        rounded[column] = scale[0] * nearest_steps(current[None, column, None], scale)[0, 0]
        done.append(column)
        free = [c for c in order if c not in done]
        if free:
            error = rounded[done] - original[done]
            change = -np.linalg.solve(hessian[np.ix_(free, free)], hessian[np.ix_(free, done)] @ error)
            current[free] = original[free] + change
    return rounded


def test_the_factor_is_upper_and_multiplies_to_the_inverse() -> None:
    statistics = statistics_of(inputs(500, 1))
    assert statistics.gram is not None
    hessian = damped(statistics.gram, DAMPING)
    factor = inverse_factor(hessian)
    assert not np.tril(factor, -1).any()
    np.testing.assert_allclose(factor.T @ factor @ hessian, np.eye(COLUMNS), atol=1e-9)


def test_the_factor_of_many_columns_is_the_inverse_of_its_halves() -> None:
    random = np.random.default_rng(2)
    hessian = np.cov(random.standard_normal((300, 900)))
    np.testing.assert_allclose(inverse_factor(hessian), np.linalg.cholesky(np.linalg.inv(hessian)).T, atol=1e-8)


def test_rows_are_compensated_as_the_definition_says() -> None:
    statistics, rows = statistics_of(inputs(400, 1)), weights(4)
    assert statistics.gram is not None
    hessian = damped(statistics.gram / statistics.count, DAMPING)
    ours = restored(Gptq(statistics).compensate(rows))
    for row, expected in zip(rows, ours, strict=True):
        np.testing.assert_allclose(expected, by_definition(row, hessian), atol=1e-6)


def test_products_with_inputs_it_has_not_seen_are_much_nearer_than_with_plain_rounding() -> None:
    statistics, rows, unseen = statistics_of(inputs(600, 1)), weights(64), inputs(300, 2)
    stored, error = Gptq(statistics)(rows)

    def product_error(values: np.ndarray) -> float:
        return float(np.square(unseen @ (values - rows).T).mean())

    plain = product_error(restored(quantize_rows("q4_0", rows)[0]))
    weighed = product_error(restored(quantize_rows("q4_0", rows, statistics.importance())[0]))
    assert product_error(restored(stored)) < 0.35 * min(plain, weighed)
    assert error.largest == pytest.approx(np.abs(restored(stored) - rows).max(), rel=1e-6)


def test_no_row_is_further_off_than_by_importance_on_what_it_has_seen() -> None:
    statistics, rows = statistics_of(inputs(300, 1)), weights(64)
    gptq = Gptq(statistics)
    ours = gptq.output_error(rows, restored(gptq(rows)[0]))
    weighed = gptq.output_error(rows, restored(quantize_rows("q4_0", rows, statistics.importance())[0]))
    assert (ours <= weighed * (1 + 1e-9)).all()


@pytest.mark.parametrize("rows", [np.zeros((2, 64), np.float32), np.full((2, 64), 3e38, np.float32)])
def test_rows_of_nothing_and_rows_beyond_half_precision_stay_finite(rows: np.ndarray) -> None:
    stored = Gptq(statistics_of(inputs(100, 1, 64))).compensate(rows)
    assert np.isfinite(restored(stored)).all()


def test_inputs_that_were_always_zero_are_no_obstacle() -> None:
    seen = inputs(200, 1)
    seen[:, 10:50] = 0
    rows = weights()
    values = restored(Gptq(statistics_of(seen))(rows)[0])
    assert np.square(seen @ (values - rows).T).mean() < 0.1 * np.square(seen @ rows.T).mean()
    nothing = Gptq(statistics_of(np.zeros((5, COLUMNS), np.float32)))
    assert np.abs(restored(nothing(rows)[0]) - rows).max() < 0.05
