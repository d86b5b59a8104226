"""INT4 says what transformers says with the weights that the files hold, in core, onnxruntime and llama.cpp."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from families import Case
from family_cases import FAMILIES, Listed
from family_parity import F32_BOUND, check_bundle, check_llama_cpp
from numpy.typing import NDArray

from hyt.export.checkpoint import Checkpoint
from hyt.export.exporter import export_bundle
from hyt.export.families import TensorPlan, load_model
from hyt.export.onnx import VARIANTS
from hyt.runtime.bundle import Bundle, open_bundle
from hyt.runtime.manifest import Activations

# ggml multiplies quantised weights with activations rounded to 8 bits, as a share of the largest logit.
INT8_ACTIVATIONS_BOUND = 0.06
LLAMA_CPP_INT8_BOUND = 0.1  # the same over 50 positions (measured: below 0.065)


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


def exported(listed: Listed, case: Case, path: Path, variant: str, activations: Activations = "int8") -> Bundle:
    """The case as an INT4 bundle with graphs; its reference computes with the stored weights from now on."""
    export_bundle(case.path, path, statement=listed.statement, onnx=variant, activations=activations, threads=1)
    bundle = open_bundle(path)
    assert (bundle.manifest.quantization.requested, bundle.manifest.quantization.fallbacks) == ("q4_0", ())
    weights = stored_weights(bundle)
    with Checkpoint(case.path) as checkpoint, torch.no_grad():
        model = load_model(checkpoint, listed.statement)
        for plan in (*model.language, *model.vision):
            if not plan.values:
                take_stored(case, plan, weights[plan.name])
    return bundle


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", FAMILIES)
def test_int4_is_transformers_with_the_stored_weights(tmp_path: Path, name: str, variant: str) -> None:
    listed = FAMILIES[name]
    case = listed.write_even(tmp_path / "c")
    bundle = exported(listed, case, tmp_path / "x.hyt", variant)
    assert check_bundle(case, bundle.path, listed.instruction, INT8_ACTIVATIONS_BOUND, "onnx") > 0
    if variant == VARIANTS[0]:
        assert check_bundle(case, bundle.path, listed.instruction, INT8_ACTIVATIONS_BOUND, "core") > 0
        check_llama_cpp(case, bundle.language, bundle.contract.vocab_size, LLAMA_CPP_INT8_BOUND)
        # With activations that are not rounded the core is as near to the reference as with float weights.
        assert check_bundle(case, bundle.path, listed.instruction, F32_BOUND, "core", "float32") > 8


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["paligemma", "llava clip qwen3"])
def test_graphs_with_float32_activations_leave_only_its_rounding(tmp_path: Path, name: str, variant: str) -> None:
    listed = FAMILIES[name]
    case = listed.write_even(tmp_path / "c")
    bundle = exported(listed, case, tmp_path / "x.hyt", variant, "float32")
    assert bundle.manifest.onnx is not None
    assert bundle.manifest.onnx.activations == "float32"
    assert check_bundle(case, bundle.path, listed.instruction, F32_BOUND, "onnx", "float32") > 8
