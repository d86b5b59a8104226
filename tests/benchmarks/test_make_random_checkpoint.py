"""Tests of benchmarks/make_random_checkpoint.py: transformers would load what it writes, and hyt-export does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from checkpoints import legacy_name
from safetensors import safe_open
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

import hyt
from hyt.export.exporter import export_bundle

SMALL = {
    "vocab": 640, "hidden": 64, "feed_forward": 96, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 32,
    "vision_hidden": 64, "vision_feed_forward": 96, "vision_layers": 1, "vision_heads": 2, "image": 32, "patch": 16,
}  # fmt: skip
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "make_random_checkpoint.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_random_checkpoint", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checkpoint(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("random") / "checkpoint"
    script.write_checkpoint(path, script.Shape(**SMALL))
    return path


def test_it_holds_the_tensors_of_transformers_model(checkpoint: Path) -> None:
    config = PaliGemmaConfig.from_pretrained(checkpoint)
    with torch.device("meta"):
        model = PaliGemmaForConditionalGeneration(config)
    expected = {legacy_name(n): list(v.shape) for n, v in model.state_dict().items() if n != "lm_head.weight"}
    with safe_open(checkpoint / "model.safetensors", "pt") as file:
        assert {name: file.get_slice(name).get_shape() for name in file.keys()} == expected  # noqa: SIM118


def test_its_bundle_acts(checkpoint: Path, tmp_path: Path) -> None:
    export_bundle(checkpoint, tmp_path / "random.hyt", threads=1)
    with hyt.load(tmp_path / "random.hyt", threads=1) as policy:
        policy.reset(instruction="open the drawer")
        image = np.zeros((32, 32, 3), np.uint8)
        assert policy.act(hyt.Observation({"camera": image}, np.zeros(4))).values.shape == (1, 7)


def test_a_continuous_one_acts_in_chunks(script: ModuleType, tmp_path: Path) -> None:
    script.write_checkpoint(tmp_path / "c", script.Shape(**SMALL), head="continuous", steps=3)
    export_bundle(tmp_path / "c", tmp_path / "random.hyt", threads=1)
    with hyt.load(tmp_path / "random.hyt", threads=1) as policy:
        policy.reset(instruction="open the drawer")
        chunk = policy.act(hyt.Observation({"camera": np.zeros((32, 32, 3), np.uint8)}, np.zeros(4)))
    assert chunk.values.shape == (3, 7)
    assert chunk.tokens is None


@pytest.mark.parametrize(("dtype", "torch_dtype"), [("bf16", torch.bfloat16), ("f16", torch.float16)])
def test_weights_are_rounded_as_torch_rounds(script: ModuleType, dtype: str, torch_dtype: torch.dtype) -> None:
    values = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
    expected = torch.from_numpy(values).to(torch_dtype).view(torch.uint16).numpy()
    np.testing.assert_array_equal(np.frombuffer(script._encode(values, dtype), np.uint16), expected)


def test_the_full_shape_is_half_a_billion_parameters(script: ModuleType) -> None:
    parameters = sum(int(np.prod(size)) for _, size in script.tensors(script.Shape()))
    assert 0.5e9 < parameters < 0.6e9


def test_an_existing_output_is_refused(script: ModuleType, checkpoint: Path) -> None:
    with pytest.raises(hyt.OutputExistsError):
        script.write_checkpoint(checkpoint, script.Shape())
