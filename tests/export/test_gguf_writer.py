"""The GGUF files, read back by gguf-py, hold the checkpoint's tensors and the keys llama.cpp reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from checkpoints import AWKWARD, DEFAULT, WIDE, Checkpoint, Shape, legacy_name, write_checkpoint
from gguf import GGMLQuantizationType, GGUFReader
from gguf_files import write_gguf_files

from hyt.export.checkpoint import Checkpoint as OpenCheckpoint
from hyt.export.families import Model

# Relative RMS error of a random normal matrix; measured 8.2%, 7.1%, 0.54%, 0.02% (hyt-export prints them).
LARGEST_ERROR = {"q4_0": 0.09, "q4_k": 0.08, "q8_0": 0.006, "f16": 0.0003, "f32": 0.0}


def read_tensors(path: Path) -> dict[str, tuple[GGMLQuantizationType, np.ndarray]]:
    return {
        tensor.name: (
            tensor.tensor_type,
            gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape([int(n) for n in reversed(tensor.shape)]),
        )
        for tensor in GGUFReader(path).tensors
    }


def read_key(path: Path, key: str) -> Any:
    return GGUFReader(path).fields[key].contents()


def reference_tensors(checkpoint: Checkpoint, model: Model) -> dict[str, np.ndarray]:
    """The model's own parameters under their GGUF names; norms of Gemma as 1 + w."""
    state = {legacy_name(name): value.detach().numpy() for name, value in checkpoint.model.named_parameters()}
    plans = (*model.language, *model.vision)
    gemma_norm: Callable[[str], bool] = lambda name: "norm" in name and "language_model" in name  # noqa: E731
    return {plan.name: state[plan.source] + (1.0 if gemma_norm(plan.source) else 0.0) for plan in plans}


@pytest.mark.parametrize("shape", [DEFAULT, AWKWARD])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_f32_export_holds_the_checkpoint_exactly(tmp_path: Path, shape: Shape, dtype: torch.dtype) -> None:
    checkpoint = write_checkpoint(tmp_path / "c", shape, dtype=dtype)
    model = write_gguf_files(checkpoint.path, tmp_path, "f32")
    written = read_tensors(tmp_path / "language.gguf") | read_tensors(tmp_path / "vision.gguf")
    expected = reference_tensors(checkpoint, model)
    assert set(written) == set(expected)
    for name, (_, value) in written.items():
        np.testing.assert_array_equal(value, expected[name].astype(np.float32), err_msg=name)


@pytest.mark.parametrize("quantization", ["q4_0", "q4_k", "q8_0", "f16"])
def test_a_quantised_export_stays_within_the_error_of_its_types(tmp_path: Path, quantization: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "c", WIDE)
    model = write_gguf_files(checkpoint.path, tmp_path, quantization, threads=2)
    expected = reference_tensors(checkpoint, model)
    kinds = set()
    for name, (kind, value) in (
        read_tensors(tmp_path / "language.gguf") | read_tensors(tmp_path / "vision.gguf")
    ).items():
        kinds.add(kind.name.lower())
        error = np.sqrt(np.square(value - expected[name]).mean() / np.square(expected[name]).mean())
        assert error <= LARGEST_ERROR[kind.name.lower()], name
    assert quantization in kinds


def test_the_language_file_has_the_keys_of_gemma_2(tmp_path: Path) -> None:
    write_gguf_files(write_checkpoint(tmp_path / "c", AWKWARD).path, tmp_path)
    path = tmp_path / "language.gguf"
    assert read_key(path, "general.architecture") == "gemma2"
    assert read_key(path, "tokenizer.ggml.model") == "none"
    for key, value in {
        "vocab_size": AWKWARD.vocab_size,
        "context_length": 256,
        "embedding_length": 52,
        "block_count": 5,
        "feed_forward_length": 90,
        "attention.head_count": 6,
        "attention.head_count_kv": 2,
        "attention.key_length": 20,
        "attention.value_length": 20,
        "attention.sliding_window": 256,
        "rope.freq_base": 10000.0,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    }.items():
        assert read_key(path, f"gemma2.{key}") == value, key
    assert read_key(path, "gemma2.attention.layer_norm_rms_epsilon") == pytest.approx(1e-6)
    assert read_key(path, "hyt.attention.scale") == pytest.approx(20**-0.5)


def test_the_vision_file_has_the_keys_of_an_mmproj(tmp_path: Path) -> None:
    write_gguf_files(write_checkpoint(tmp_path / "c", AWKWARD).path, tmp_path)
    path = tmp_path / "vision.gguf"
    assert read_key(path, "general.architecture") == "clip"
    assert read_key(path, "clip.projector_type") == "linear"
    for key, value in {
        "image_size": 40,
        "patch_size": 8,
        "embedding_length": 36,
        "feed_forward_length": 70,
        "block_count": 3,
        "attention.head_count": 3,
        "projection_dim": 52,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }.items():
        assert read_key(path, f"clip.vision.{key}") == value, key
    assert dict(read_tensors(path))["v.patch_embd.weight"][1].shape == (36, 3, 8, 8)


def test_blocks_and_threads_do_not_change_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = write_checkpoint(tmp_path / "c")
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    write_gguf_files(checkpoint.path, tmp_path / "one", "q4_0", threads=1)
    monkeypatch.setattr("hyt.export.gguf_writer.BLOCK_ELEMENTS", 500)
    write_gguf_files(checkpoint.path, tmp_path / "many", "q4_0", threads=3)
    for file in ("language.gguf", "vision.gguf"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "many" / file).read_bytes()


def test_no_read_asks_for_more_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = write_checkpoint(tmp_path / "c")
    read_rows, sizes = OpenCheckpoint.read_rows, []

    def record(self: OpenCheckpoint, name: str, first: int, count: int) -> np.ndarray:
        rows = read_rows(self, name, first, count)
        sizes.append(rows.size)
        return rows

    monkeypatch.setattr(OpenCheckpoint, "read_rows", record)
    monkeypatch.setattr("hyt.export.gguf_writer.BLOCK_ELEMENTS", 500)
    write_gguf_files(checkpoint.path, tmp_path, "q4_0", threads=2)
    assert max(sizes) <= 500
    assert sum(sizes) == sum(value.numel() for value in checkpoint.model.parameters())
