"""What the decoders' configs have in common: positions that are scaled are refused, as they would only seem to work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from families import write_llava

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families import load_model

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    ("scaling", "kind"), [(LLAMA3, "llama3"), ({"type": "linear", "factor": 2.0}, "linear"), ({}, "None"), ("x", "x")]
)
@pytest.mark.parametrize("text", ["llama", "qwen2"])
def test_a_scaling_of_positions_is_refused_by_its_kind(tmp_path: Path, text: str, scaling: Any, kind: str) -> None:
    path = write_llava(tmp_path / "c", "clip", text).path
    config = json.loads((path / "config.json").read_text())
    config["text_config"]["rope_scaling"] = scaling
    (path / "config.json").write_text(json.dumps(config))
    with Checkpoint(path) as checkpoint, pytest.raises(CheckpointError) as error:
        load_model(checkpoint)
    line = str(error.value)
    assert "rope_scaling" in line
    assert f"positions scaled by {kind!r}, which the core does not compute" in line


def test_a_text_model_that_scales_its_images_is_refused(tmp_path: Path) -> None:
    path = write_llava(tmp_path / "c", "siglip", "llama").path
    config = json.loads((path / "config.json").read_text())
    config["text_config"]["model_type"] = "gemma"
    (path / "config.json").write_text(json.dumps(config))
    with Checkpoint(path) as checkpoint, pytest.raises(CheckpointError, match="'llama', 'qwen2', 'qwen3'"):
        load_model(checkpoint)
