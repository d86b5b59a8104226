"""A checkpoint reads the same in one file or in shards, and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import write_checkpoint

from hyt.errors import CheckpointError
from hyt.export.checkpoint import INDEX, Checkpoint


def test_shards_read_as_one_file_does(tmp_path: Path) -> None:
    single = write_checkpoint(tmp_path / "single", dtype=torch.bfloat16)
    sharded = write_checkpoint(tmp_path / "sharded", dtype=torch.bfloat16, shards=4)
    assert len(list(sharded.path.glob("*.safetensors"))) == 4
    with Checkpoint(single.path) as a, Checkpoint(sharded.path) as b:
        assert set(a.tensors) == set(b.tensors)
        for name, entry in a.tensors.items():
            rows = entry.shape[0]
            np.testing.assert_array_equal(a.read_rows(name, 0, rows), b.read_rows(name, 0, rows))


def test_the_hash_tells_one_changed_weight(tmp_path: Path) -> None:
    a, b = (write_checkpoint(tmp_path / name) for name in ("a", "b"))
    with Checkpoint(a.path) as first, Checkpoint(b.path) as second:
        assert first.sha256() == second.sha256()
    weights = b.path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with Checkpoint(a.path) as first, Checkpoint(b.path) as second:
        assert first.sha256() != second.sha256()


def test_an_infinite_weight_is_refused_by_name(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "c")
    with Checkpoint(checkpoint.path) as opened:
        name, entry = next(iter(opened.tensors.items()))
    weights = checkpoint.path / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[entry.begin : entry.begin + 4] = np.float32(np.inf).tobytes()
    weights.write_bytes(data)
    with (
        Checkpoint(checkpoint.path) as opened,
        pytest.raises(CheckpointError, match="expected finite weights") as error,
    ):
        opened.read_rows(name, 0, entry.shape[0])
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_missing_file_is_named(checkpoint_copy: Path, name: str) -> None:
    (checkpoint_copy / name).unlink()
    with pytest.raises(CheckpointError, match=f"expected {name}"):
        Checkpoint(checkpoint_copy)


def test_weights_in_one_file_and_in_shards_at_once_are_ambiguous(checkpoint_copy: Path) -> None:
    (checkpoint_copy / INDEX).write_text(json.dumps({"weight_map": {"w": "model.safetensors"}}))
    with pytest.raises(CheckpointError, match="received both"):
        Checkpoint(checkpoint_copy)


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/model.safetensors", "model.bin", 3])
def test_an_index_that_points_elsewhere_is_refused(checkpoint_copy: Path, file: object) -> None:
    (checkpoint_copy / "model.safetensors").unlink()
    (checkpoint_copy / INDEX).write_text(json.dumps({"weight_map": {"w": file}}))
    with pytest.raises(CheckpointError, match="names of safetensors files beside it"):
        Checkpoint(checkpoint_copy)


def test_a_tensor_that_only_the_index_knows_is_named(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "c", shards=2)
    index = checkpoint.path / INDEX
    data = json.loads(index.read_text())
    data["weight_map"]["ghost"] = next(iter(data["weight_map"].values()))
    index.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match="'ghost'"):
        Checkpoint(checkpoint.path)
