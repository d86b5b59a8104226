"""What the decoders' configs have in common: how positions are scaled, and that what we do not compute is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from families import write_llava
from family_cases import LINEAR, LLAMA3
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families import Model, load_model
from hyt.export.rope_scaling import turn_divisors

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
DYNAMIC = {"type": "dynamic", "factor": 2.0}


def with_text(path: Path, **changes: Any) -> Model:
    """The model of a checkpoint whose text_config was changed; None takes a field away."""
    config = json.loads((path / "config.json").read_text())
    config["text_config"] = {k: v for k, v in (config["text_config"] | changes).items() if v is not None}
    (path / "config.json").write_text(json.dumps(config))
    with Checkpoint(path) as checkpoint:
        return load_model(checkpoint)


@pytest.fixture(params=["llama", "qwen2"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A LLaVA checkpoint with one of these decoders."""
    return write_llava(tmp_path / "c", "clip", request.param).path


@pytest.mark.parametrize(
    ("scaling", "kind"),
    [(YARN, "yarn"), (DYNAMIC, "dynamic"), (LLAMA3 | {"type": "linear"}, "llama3"), ({}, "None"), ("x", "x"),
     ("linear", "linear"), ("default", "default"), ({"rope_type": []}, "[]"), ({"factor": 2.0}, "None")],
)  # fmt: skip
def test_a_scaling_that_is_not_computed_is_refused_by_its_kind(path: Path, scaling: Any, kind: str) -> None:
    with pytest.raises(CheckpointError) as error:
        with_text(path, rope_scaling=scaling)
    line = str(error.value)
    assert "rope_scaling" in line
    assert f"positions scaled by {kind!r}, which the core does not compute: only plain and linear" in line


def test_llama_3s_scaling_is_refused_where_llama_cpp_does_not_know_it(tmp_path: Path) -> None:
    path = write_llava(tmp_path / "c", "clip", "qwen2").path
    with pytest.raises(CheckpointError, match=r"scaled by 'llama3'.*only plain and linear ones"):
        with_text(path, rope_scaling=LLAMA3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low_freq_factor": 4.0}, "low_freq_factor must be less than high_freq_factor"),
        ({"low_freq_factor": None}, "low_freq_factor must be given"),
        ({"factor": 0.5}, "factor of positions scaled by 'llama3'.*greater than or equal to 1"),
        ({"factor": None}, "factor of positions scaled by 'llama3'.*required"),
        ({"original_max_position_embeddings": 0}, "original_max_position_embeddings of positions"),
        ({"attention_factor": 2.0}, "unknown field 'attention_factor'"),
    ],
)
def test_a_scaling_that_is_not_whole_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write_llava(tmp_path / "c", "clip", "llama").path
    scaling = {key: value for key, value in (LLAMA3 | change).items() if value is not None}
    with pytest.raises(CheckpointError, match=message):
        with_text(path, rope_scaling=scaling)


@pytest.mark.parametrize("scaling", [None, LINEAR, LLAMA3])
def test_what_transformers_5_writes_says_the_same(tmp_path: Path, scaling: dict[str, Any] | None) -> None:
    path = write_llava(tmp_path / "c", "clip", "llama").path
    before = with_text(path, rope_scaling=scaling, rope_theta=5e5)
    told = (scaling or {"rope_type": "default"}) | {"rope_theta": 5e5}
    assert with_text(path, rope_scaling=None, rope_theta=None, rope_parameters=told) == before
    with pytest.raises(CheckpointError, match="rope_parameters must agree with rope_theta"):
        with_text(path, rope_theta=1e4)


@pytest.mark.parametrize(("theta", "width"), [(1e4, 16), (5e5, 128), (5e5, 64), (10.0, 2)])
@pytest.mark.parametrize(
    "scaling", [LLAMA3, LINEAR, LLAMA3 | {"factor": 32.0, "original_max_position_embeddings": 8192}]
)
def test_divisors_are_those_of_transformers(tmp_path: Path, theta: float, width: int, scaling: dict[str, Any]) -> None:
    path = write_llava(tmp_path / "c", "clip", "llama").path
    text = with_text(path, rope_scaling=scaling).shapes.text.model_copy(update={"rope_theta": theta, "head_dim": width})
    config = LlamaConfig(rope_theta=theta, head_dim=width, rope_scaling=scaling)
    frequencies, _ = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")
    ours = theta ** (-np.arange(0, width, 2) / width) / turn_divisors(text)
    np.testing.assert_allclose(ours, frequencies.numpy(), rtol=1e-6)


def test_a_text_model_that_scales_its_images_is_refused(tmp_path: Path) -> None:
    path = write_llava(tmp_path / "c", "siglip", "llama").path
    config = json.loads((path / "config.json").read_text())
    config["text_config"]["model_type"] = "gemma"
    (path / "config.json").write_text(json.dumps(config))
    with Checkpoint(path) as checkpoint, pytest.raises(CheckpointError, match="'llama', 'qwen2', 'qwen3'"):
        load_model(checkpoint)
