"""The Q4_0 grid against gguf-py's reader of it."""

from __future__ import annotations

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from hypothesis import given
from hypothesis import strategies as st

from hyt.export.quantization.q4_0 import BLOCK, half, nearest_steps, pack, unpack
from hyt.export.quantization.rounding import quantize_rows


def test_the_blocks_are_packed_as_ggml_packs_them() -> None:
    random = np.random.default_rng(5)
    levels = random.integers(-8, 8, (3, 64)).astype(np.float64)
    scales = half(random.uniform(-1, 1, (3, 2)))
    expected = np.repeat(scales.astype(np.float32), BLOCK, axis=1) * levels
    restored = gguf.quants.dequantize(pack(levels, scales), GGMLQuantizationType.Q4_0)
    np.testing.assert_array_equal(restored, expected)


def test_what_ggml_packed_is_unpacked_and_packed_again_byte_by_byte() -> None:
    rows = np.random.default_rng(6).standard_normal((5, 160)).astype(np.float32)
    stored, _ = quantize_rows("q4_0", rows)
    levels, scales = unpack(stored)
    restored = gguf.quants.dequantize(stored, GGMLQuantizationType.Q4_0)
    np.testing.assert_array_equal(levels * np.repeat(scales, BLOCK, axis=1), restored)
    np.testing.assert_array_equal(pack(levels, scales), stored)


@given(st.floats(-3, 3), st.floats(-1, 1, width=16))
def test_no_level_is_nearer_than_the_nearest(weight: float, scale: float) -> None:
    step = nearest_steps(np.array([[weight]]), np.array([scale]))[0, 0]
    assert abs(weight - scale * step) <= np.abs(weight - scale * np.arange(-8, 8)).min() + 1e-9
