"""Rounding against gguf-py's own NumPy quantiser; an importance shifts the error to where it matters less."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType

from hyt.export.quantization import REQUESTS, quantize_rows, stored_size
from hyt.runtime import _core


def random_rows(rows: int = 48, columns: int = 256, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((rows, columns)) * generator.lognormal(-3, 1, (rows, 1))).astype(np.float32)


@pytest.mark.parametrize("name", ["q4_0", "q8_0", "f16", "f32"])
def test_the_core_writes_what_gguf_py_writes(name: str) -> None:
    rows, kind = random_rows(), GGMLQuantizationType[name.upper()]
    reference = gguf.quants.quantize(rows, kind)
    ours = _core.quantize(name, rows, None).reshape(rows.shape[0], -1)
    np.testing.assert_array_equal(ours, reference.view(np.uint8).reshape(ours.shape))
    restored = _core.dequantize(name, ours, *rows.shape)
    np.testing.assert_array_equal(restored, gguf.quants.dequantize(reference, kind))


@pytest.mark.parametrize("name", REQUESTS)
def test_stored_rows_read_back_by_gguf_py_have_the_error_we_report(name: str) -> None:
    rows, kind = random_rows(seed=1), GGMLQuantizationType[name.upper()]
    stored, error = quantize_rows(name, rows)
    assert stored.nbytes == stored_size(name, rows.shape)
    dtype = {"f16": np.float16, "f32": np.float32}.get(name, np.uint8)
    restored = gguf.quants.dequantize(stored.view(dtype), kind).astype(np.float64)
    relative = np.sqrt(np.square(restored - rows).sum() / np.square(rows, dtype=np.float64).sum())
    assert error.relative == pytest.approx(relative, rel=1e-6, abs=1e-12)
    assert error.largest == pytest.approx(np.abs(restored - rows).max(), rel=1e-6)
    assert error.count == rows.size


def test_the_search_for_scales_makes_no_row_worse_and_the_whole_better() -> None:
    rows = random_rows(seed=2)
    stored, _ = quantize_rows("q4_0", rows)
    searched = _core.dequantize("q4_0", stored, *rows.shape)
    plain = gguf.quants.dequantize(gguf.quants.quantize(rows, GGMLQuantizationType.Q4_0), GGMLQuantizationType.Q4_0)
    ours, theirs = (np.square(x - rows, dtype=np.float64).sum(axis=1) for x in (searched, plain))
    assert (ours <= theirs).all()
    assert ours.sum() < 0.95 * theirs.sum()


def test_zero_rows_stay_zero_without_an_error() -> None:
    stored, error = quantize_rows("q4_0", np.zeros((4, 64), dtype=np.float32))
    assert not _core.dequantize("q4_0", stored, 4, 64).any()
    assert error.relative == 0.0


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q4_k", "iq4_nl", "iq4_xs", "q5_k"])
def test_an_importance_lowers_the_error_that_it_weighs_and_no_row_is_worse(name: str) -> None:
    rows = random_rows(columns=512, seed=3)
    importance = np.random.default_rng(4).lognormal(0, 2, rows.shape[1]).astype(np.float32)

    def weighed(given: np.ndarray | None) -> np.ndarray:
        stored, _ = quantize_rows(name, rows, given)
        return np.square(_core.dequantize(name, stored, *rows.shape) - rows, dtype=np.float64) @ importance

    with_it, without = weighed(importance), weighed(None)
    assert (with_it <= without * (1 + 1e-9)).all()
    assert with_it.sum() < 0.97 * without.sum()
