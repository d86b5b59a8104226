"""The safetensors reader gives what the safetensors library gives, for every dtype, shape and block of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hyt.errors import CheckpointError
from hyt.export.safetensors_file import SafetensorsFile

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
SHAPES = ((1,), (7,), (3, 5), (2, 3, 4), (5, 1, 3, 2), (33, 1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_reads_as_the_library_reads_it(tmp_path: Path, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    tensors = {f"t{i}": torch.randn(shape, generator=generator).to(dtype) for i, shape in enumerate(SHAPES)}
    path = tmp_path / "model.safetensors"
    save_file(tensors, str(path))
    reference = load_file(str(path))
    with SafetensorsFile(path) as file:
        assert set(file.entries) == set(tensors)
        for name, expected in reference.items():
            assert file.entries[name].shape == tuple(expected.shape)
            rows = file.read_rows(name, 0, expected.shape[0])
            assert rows.dtype == np.float32
            np.testing.assert_array_equal(rows.reshape(expected.shape), expected.to(torch.float32).numpy())


@given(rows=st.integers(1, 40), columns=st.integers(1, 9), step=st.integers(1, 41), data=st.data())
@settings(max_examples=40, deadline=None)
def test_blocks_of_rows_join_to_the_whole_tensor(
    tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, step: int, data: st.DataObject
) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    tensor = torch.randn(rows, columns).to(dtype)
    path = tmp_path_factory.mktemp("rows") / "model.safetensors"
    save_file({"before": torch.zeros(3), "w": tensor}, str(path))
    with SafetensorsFile(path) as file:
        blocks = [file.read_rows("w", first, min(step, rows - first)) for first in range(0, rows, step)]
    np.testing.assert_array_equal(np.concatenate(blocks), tensor.to(torch.float32).numpy())


def test_the_special_values_of_bfloat16_survive(tmp_path: Path) -> None:
    values = torch.tensor([0.0, -0.0, 1.0, -3.390625, 3.3895e38, 1e-38, float("inf")]).to(torch.bfloat16)
    path = tmp_path / "model.safetensors"
    save_file({"w": values}, str(path))
    with SafetensorsFile(path) as file:
        rows = file.read_rows("w", 0, values.numel())
    np.testing.assert_array_equal(rows.ravel().view(np.uint32), values.to(torch.float32).numpy().view(np.uint32))


def test_a_dtype_that_no_policy_uses_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"steps": torch.zeros(2, dtype=torch.int64)}, str(path))
    with SafetensorsFile(path) as file, pytest.raises(CheckpointError, match=r"'steps'.*received I64"):
        file.read_rows("steps", 0, 2)


def test_a_file_that_shrinks_after_it_was_opened_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.zeros(64, 64)}, str(path))
    with SafetensorsFile(path) as file:
        with path.open("r+b") as writer:
            writer.truncate(2000)
        with pytest.raises(CheckpointError, match="the file's end"):
            file.read_rows("w", 0, 64)
