"""Blocks of a GGUF file as ONNX graphs hold them: the same weights, or the nearest of Q4_0 and Q8_0."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from hyt.export.onnx.gguf_tensors import Blocks, GgufTensors
from hyt.export.quantization import ggml_type, quantize_rows

ROWS, COLUMNS = 5, 512


@pytest.fixture
def rows() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)


def written(path: Path, rows: NDArray[np.float32], type: str) -> GgufTensors:
    writer = gguf.GGUFWriter(path, "test")
    stored = quantize_rows(type, rows)[0] if type != "f16" else rows.astype(np.float16)
    writer.add_tensor("x", stored, raw_dtype=ggml_type(type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GgufTensors(path)


def restored(blocks: Blocks) -> NDArray[np.float32]:
    """What MatMulNBits computes with: (value - middle) * scale, the low nibble first."""
    values = blocks.values
    if values.shape[-1] == 16:
        values = np.stack([values & 15, values >> 4], axis=-1).reshape(*values.shape[:-1], 32)
    middle = 128 if blocks.values.shape[-1] == 32 else 8
    weights = (values.astype(np.float32) - middle) * blocks.scales[..., None]
    return weights.reshape(len(values), -1)


@pytest.mark.parametrize("type", ["q4_0", "q8_0"])
def test_blocks_are_the_files_bit_for_bit(tmp_path: Path, rows: NDArray[np.float32], type: str) -> None:
    tensors = written(tmp_path / "x.gguf", rows, type)
    (blocks,) = tensors.block_rows("x")
    stored = gguf.GGUFReader(tmp_path / "x.gguf").tensors[0]
    assert (restored(blocks) == gguf.quants.dequantize(stored.data, stored.tensor_type)).all()
    assert tensors.rounded("x") == ""


@pytest.mark.parametrize(
    ("type", "target", "bound"),
    [("q4_1", "q4_0", 0.13), ("q4_k", "q4_0", 0.13), ("iq4_nl", "q4_0", 0.13), ("q6_k", "q8_0", 0.03)],
)
def test_other_types_are_rounded_to_the_nearest_grid(
    tmp_path: Path, rows: NDArray[np.float32], type: str, target: str, bound: float
) -> None:
    tensors = written(tmp_path / "x.gguf", rows, type)
    (blocks,) = tensors.block_rows("x")
    assert tensors.rounded("x") == f"{type} to {target}"
    assert np.abs(restored(blocks) - rows).mean() < bound * np.abs(rows).mean()


def test_rows_are_chosen_in_their_order(tmp_path: Path, rows: NDArray[np.float32]) -> None:
    tensors = written(tmp_path / "x.gguf", rows, "q8_0")
    (all_rows,), (some,) = tensors.block_rows("x"), tensors.block_rows("x", [3, 0])
    assert (some.values == all_rows.values[[3, 0]]).all()
    assert (some.scales == all_rows.scales[[3, 0]]).all()


def test_floats_are_read_as_float32(tmp_path: Path, rows: NDArray[np.float32]) -> None:
    tensors = written(tmp_path / "x.gguf", rows, "f16")
    assert tensors.bits("x") == 32
    assert (tensors.floats("x") == rows.astype(np.float16).astype(np.float32)).all()
