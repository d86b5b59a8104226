"""Statistics of inputs, against the definition on all of them at once; how a method is chosen for a tensor."""

from __future__ import annotations

import numpy as np
import pytest

from hyt.export.families.base import Role, TensorPlan
from hyt.export.quantization import InputStatistics, Method, default_method, method_of, quantize_rows, rounder_for
from hyt.export.quantization.gptq import MOST_COLUMNS


def test_sums_over_many_parts_are_those_over_the_whole() -> None:
    rows = np.random.default_rng(0).normal(1, 2, (1500, 24)).astype(np.float32)
    statistics = InputStatistics(24, gram=True)
    for part in np.array_split(rows, 40):
        statistics.add(part)
    wide = rows.astype(np.float64)
    assert statistics.count == 1500
    np.testing.assert_allclose(statistics.gram, wide.T @ wide, rtol=1e-5)
    np.testing.assert_allclose(statistics.importance(), np.square(wide).mean(axis=0), rtol=1e-6)


def test_a_row_of_a_weight_counts_as_so_many_rows() -> None:
    rows = np.random.default_rng(1).normal(0, 1, (40, 16)).astype(np.float32)
    weighed, repeated = InputStatistics(16, gram=True), InputStatistics(16, gram=True)
    weighed.add(rows[:30])
    weighed.add(rows[30:], 3)
    repeated.add(np.concatenate([rows[:30], *[rows[30:]] * 3]))
    assert weighed.count == repeated.count == 60
    np.testing.assert_allclose(weighed.gram, repeated.gram, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weighed.importance(), repeated.importance(), rtol=1e-5)


def test_a_column_that_was_never_used_counts_a_little() -> None:
    rows = np.ones((4, 8), np.float32)
    rows[:, 3] = 0
    statistics = InputStatistics(8, gram=False)
    statistics.add(rows)
    importance = statistics.importance()
    assert statistics.gram is None
    assert importance[3] == pytest.approx(1e-3 * 7 / 8)
    assert (np.delete(importance, 3) == 1).all()


@pytest.mark.parametrize(
    ("name", "role", "type_", "columns", "asked", "method"),
    [
        ("blk.0.attn_q.weight", "linear", "q4_0", 64, "gptq", "gptq"),
        ("blk.0.attn_q.weight", "linear", "q5_k", 256, "gptq", "importance"),
        ("blk.0.attn_q.weight", "linear", "q4_0", MOST_COLUMNS + 32, "gptq", "importance"),
        ("blk.0.attn_q.weight", "linear", "q4_0", 64, "plain", "plain"),
        ("blk.0.attn_q.weight", "linear", "f16", 64, "importance", "plain"),
        ("output.weight", "embedding", "q4_0", 64, "gptq", "gptq"),
        ("token_embd.weight", "embedding", "q4_0", 64, "gptq", "plain"),
        ("blk.0.attn_norm.weight", "fixed", "f32", 64, "importance", "plain"),
    ],
)
def test_a_method_is_chosen_by_what_a_tensor_is(
    name: str, role: Role, type_: str, columns: int, asked: Method, method: Method
) -> None:
    assert method_of(TensorPlan(name, name, (2, columns), role, "g"), type_, asked) == method


def test_without_a_method_that_of_the_type_is_taken() -> None:
    assert [default_method(name) for name in ("q4_0", "mixed", "q4_k", "f32")] == ["gptq", "gptq", *["importance"] * 2]


def test_a_tensor_that_nothing_went_into_is_rounded_plainly() -> None:
    plan = TensorPlan("blk.0.ffn_up.weight", "w", (4, 64), "linear", "g")
    rows = np.random.default_rng(1).standard_normal((4, 64)).astype(np.float32)
    stored, _ = rounder_for(plan, "q4_0", "gptq", lambda name: None)(rows)
    np.testing.assert_array_equal(stored, quantize_rows("q4_0", rows)[0])
