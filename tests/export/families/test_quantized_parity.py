"""INT4 says what transformers says with the weights that the files hold, in core, onnxruntime and llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from families import Case, write_llava, write_paligemma
from family_parity import LOGITS, check_llama_cpp, random_images
from numpy.typing import NDArray
from prismatic import write_minivla, write_openvla

from hyt.export.checkpoint import Checkpoint
from hyt.export.exporter import export_bundle
from hyt.export.families import TensorPlan, load_model
from hyt.export.statement import Statement
from hyt.runtime.bundle import Bundle, open_bundle

# ggml multiplies quantised weights with activations rounded to 8 bits, as a share of the largest logit.
INT8_ACTIVATIONS_BOUND = 0.06
FAMILIES: dict[str, Callable[[Path], Case]] = {
    "paligemma": write_paligemma,
    "llava clip llama": lambda path: write_llava(path, "clip", "llama"),
    "llava clip qwen3": lambda path: write_llava(path, "clip", "qwen3"),
    "llava siglip qwen2": lambda path: write_llava(path, "siglip", "qwen2"),
    "openvla": write_openvla,
    "minivla": write_minivla,
}
STATED = Statement(step_time=0.2, units=("m", "rad"))  # of OpenVLA and MiniVLA, which have no hyt.json


def stored_weights(bundle: Bundle) -> dict[str, NDArray[np.float32]]:
    """Every tensor of both files, dequantised by gguf-py."""
    weights = {}
    for path in (bundle.language, bundle.vision):
        for tensor in gguf.GGUFReader(path).tensors:
            weights[tensor.name] = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return weights


def as_in_checkpoint(plan: TensorPlan, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the plan and the padding did, undone."""
    weight = weight[tuple(slice(extent) for extent in plan.shape)] if weight.ndim == len(plan.shape) else weight
    if plan.pairs:
        neighbours = weight.reshape(-1, plan.pairs // 2, 2, weight.shape[1])
        weight = neighbours.swapaxes(1, 2).reshape(weight.shape)
    return weight.reshape(plan.shape) - np.float32(plan.add)


def take_stored(case: Case, plan: TensorPlan, weight: NDArray[np.float32]) -> None:
    """Let the reference compute with a stored weight."""
    whole = case.parameters[plan.source]
    part = whole[plan.first :][: plan.shape[0]] if len(plan.saved_shape) == len(plan.shape) else whole
    part.copy_(torch.from_numpy(as_in_checkpoint(plan, weight).copy()).reshape(part.shape))


@pytest.mark.parametrize("name", FAMILIES)
def test_int4_is_transformers_with_the_stored_weights(tmp_path: Path, name: str) -> None:
    case = FAMILIES[name](tmp_path / "c")
    statement = Statement() if (case.path / "hyt.json").exists() else STATED
    export_bundle(case.path, tmp_path / "x.hyt", statement=statement, onnx="fused", threads=1)
    bundle = open_bundle(tmp_path / "x.hyt")
    weights = stored_weights(bundle)
    with Checkpoint(case.path) as checkpoint, torch.no_grad():
        model = load_model(checkpoint, statement)
        for plan in (*model.language, *model.vision):
            take_stored(case, plan, weights[plan.name])
    images = list(random_images(bundle, 3).values())
    layout = np.array([*range(-1, -1 - len(images), -1), 2, 11, 12, 13, 4], np.int32)
    tokens = [6, 40, 41, 42]
    expected = case.logits(images, layout.tolist(), tokens)
    check_llama_cpp(case, bundle.language, bundle.contract.vocab_size, INT8_ACTIVATIONS_BOUND)
    for logits in LOGITS.values():
        error = np.abs(logits(bundle, images, layout, tokens) - expected).max()
        assert 0 < error < INT8_ACTIVATIONS_BOUND * np.abs(expected).max()
