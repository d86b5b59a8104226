"""Quantisation against gguf-py's own implementation of the format, and against its definition."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize as gguf_dequantize
from gguf.quants import quantize as gguf_quantize

from hyt.runtime import _core

VALUES = np.random.default_rng(0).standard_normal((6, 512)).astype(np.float32)
TYPES = _core.quantization_types()


@pytest.mark.parametrize("name", ["f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0"])
def test_bytes_are_those_of_gguf_py(name: str) -> None:
    expected = gguf_quantize(VALUES, gguf.GGMLQuantizationType[name.upper()])
    assert np.array_equal(_core.quantize(name, VALUES), expected.view(np.uint8).ravel())


@pytest.mark.parametrize("name", [name for name in TYPES if name in {"q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"}])
def test_k_quants_are_read_as_gguf_py_reads_them(name: str) -> None:
    data = _core.quantize(name, VALUES)
    kind = gguf.GGMLQuantizationType[name.upper()]
    expected = gguf_dequantize(data.reshape(len(VALUES), -1), kind)
    np.testing.assert_allclose(_core.dequantize(name, data, *VALUES.shape), expected, atol=1e-6)


def error(name: str, importance: np.ndarray | None = None) -> float:
    data = _core.quantize(name, VALUES, importance)
    return float(np.sqrt(np.mean((_core.dequantize(name, data, *VALUES.shape) - VALUES) ** 2)))


def test_more_bits_err_less() -> None:
    errors = [error(name) for name in ("q4_0", "q5_0", "q8_0", "f16", "f32")]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0


def test_equal_importance_makes_q4_0_search_its_scale() -> None:
    assert error("q4_0", np.ones(VALUES.shape[1], np.float32)) < error("q4_0")


def test_importance_moves_the_error_to_columns_that_matter_less() -> None:
    importance = np.ones(VALUES.shape[1], np.float32)
    importance[::2] = 100
    data = _core.quantize("q4_0", VALUES, importance)
    squared = (_core.dequantize("q4_0", data, *VALUES.shape) - VALUES) ** 2
    assert squared[:, ::2].mean() < squared[:, 1::2].mean()


# The grids of iq2 and iq3 take half a minute to set up, and go through the same call.
@pytest.mark.parametrize("name", [name for name in TYPES if not name.startswith(("iq2", "iq3"))])
def test_every_type_has_a_block_and_gives_back_its_shape(name: str) -> None:
    columns = max(256, _core.quantization_block(name))
    values = VALUES[:2, :columns]
    ones = np.ones(columns, np.float32)
    assert _core.dequantize(name, _core.quantize(name, values, ones), 2, columns).shape == values.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _core.quantize("q9_9", VALUES), r"quantisation type; expected one of quantization_types\(\)"),
        (lambda: _core.quantize("q4_0", VALUES[:, :33]), "expected at least one row and columns divisible by 32"),
        (lambda: _core.quantize("q4_0", VALUES[0]), "matrix to quantise; expected 2 dimensions; received 1"),
        (lambda: _core.quantize("q4_0", VALUES * np.nan), "expected finite values; received nan"),
        (lambda: _core.quantize("q4_0", VALUES, np.ones(3, np.float32)), "importance; expected one value for each of"),
        (lambda: _core.quantize("q4_0", VALUES, -np.ones(512, np.float32)), "importance; expected finite values of"),
        (lambda: _core.quantize("iq2_s", VALUES[:, :255]), "divisible by 256"),
        (lambda: _core.dequantize("q4_0", np.zeros(17, np.uint8), 1, 32), "expected 18 bytes; received 17"),
        (lambda: _core.dequantize("q4_0", np.zeros(18, np.uint8), -1, 32), "expected at least one row"),
        # 2**42 + 1 rows of 2**22 bytes wrap around to one row in 64 bits.
        (lambda: _core.dequantize("f32", np.zeros(2**22, np.uint8), 2**42 + 1, 2**20), r"at most 2\^40 elements"),
    ],
)
def test_wrong_arguments_are_refused(call: object, message: str) -> None:
    with pytest.raises(_core.CoreError, match=message):
        call()  # type: ignore[operator]


def test_the_system_is_described() -> None:
    system = _core.system()
    assert isinstance(system["physical_cores"], int)
    assert system["physical_cores"] >= 1
    assert "CPU" in str(system["devices"])
    assert isinstance(system["kernels"], list)
