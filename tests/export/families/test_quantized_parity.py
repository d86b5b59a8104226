"""INT4 says what transformers says with the weights that the files hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from families import Case, write_llava, write_paligemma
from family_parity import core_logits, random_images
from numpy.typing import NDArray

from hyt.export.checkpoint import Checkpoint
from hyt.export.exporter import export_bundle
from hyt.export.families import TensorPlan, load_model
from hyt.runtime.bundle import Bundle, open_bundle

# ggml multiplies quantised weights with activations rounded to 8 bits, as a share of the largest logit.
INT8_ACTIVATIONS_BOUND = 0.06
FAMILIES: dict[str, Callable[[Path], Case]] = {
    "paligemma": write_paligemma,
    "llava clip llama": lambda path: write_llava(path, "clip", "llama"),
    "llava siglip qwen2": lambda path: write_llava(path, "siglip", "qwen2"),
}


def stored_weights(bundle: Bundle) -> dict[str, NDArray[np.float32]]:
    """Every tensor of both files, dequantised by gguf-py."""
    weights = {}
    for path in (bundle.language, bundle.vision):
        for tensor in gguf.GGUFReader(path).tensors:
            weights[tensor.name] = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return weights


def as_in_checkpoint(plan: TensorPlan, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the plan did, undone."""
    if plan.pairs:
        neighbours = weight.reshape(-1, plan.pairs // 2, 2, weight.shape[1])
        weight = neighbours.swapaxes(1, 2).reshape(weight.shape)
    return weight.reshape(plan.shape) - np.float32(plan.add)


@pytest.mark.parametrize("name", FAMILIES)
def test_int4_is_transformers_with_the_stored_weights(tmp_path: Path, name: str) -> None:
    case = FAMILIES[name](tmp_path / "c")
    export_bundle(case.path, tmp_path / "x.hyt", threads=1)
    bundle = open_bundle(tmp_path / "x.hyt")
    weights = stored_weights(bundle)
    with Checkpoint(case.path) as checkpoint, torch.no_grad():
        model = load_model(checkpoint)
        for plan in (*model.language, *model.vision):
            case.parameters[plan.source].copy_(torch.from_numpy(as_in_checkpoint(plan, weights[plan.name]).copy()))
    images = list(random_images(bundle, 3).values())
    layout, tokens = np.array([-1, -2, 2, 11, 12, 13, 4], np.int32), [6, 40, 41, 42]
    expected = case.logits(images, layout.tolist(), tokens)
    error = np.abs(core_logits(bundle, images, layout, tokens) - expected).max()
    assert 0 < error < INT8_ACTIVATIONS_BOUND * np.abs(expected).max()
