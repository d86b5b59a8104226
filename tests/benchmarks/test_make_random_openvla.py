"""Tests of benchmarks/make_random_openvla.py: hyt-export reads what it writes, and its full shape is OpenVLA's."""

from __future__ import annotations

import importlib.util
import sys
from math import prod
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import hyt
from hyt.export.exporter import export_bundle
from hyt.export.statement import Statement

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("make_random_openvla", FOLDER / "make_random_openvla.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_its_bundle_acts(script: ModuleType, tmp_path: Path) -> None:
    small = script.Shape(
        hidden=64, feed_forward=96, layers=1, dino=script.Tower(32, 64, 2, registers=4), siglip=script.Tower(48, 70, 2)
    )
    config = script.config(small)
    assert config["text_config"]["vocab_size"] == 32064
    script.write_checkpoint(tmp_path / "c", small)
    stated = Statement(step_time=0.2, units=("m", "rad"))
    export_bundle(tmp_path / "c", tmp_path / "x.hyt", statement=stated, threads=1)
    with hyt.load(tmp_path / "x.hyt", threads=1) as policy:
        policy.reset(instruction="open the drawer")
        image = np.zeros((224, 224, 3), np.uint8)
        assert policy.act(hyt.Observation({"primary": image})).values.shape == (1, 7)


def test_weights_are_sharded_with_an_index(script: ModuleType, tmp_path: Path) -> None:
    sizes = [("a.weight", (64, 32)), ("b.weight", (64, 32)), ("c.bias", (7,))]
    assert script.write_weights(tmp_path, sizes, "bf16", 0, shard_bytes=5000) == 2 * 64 * 32 + 7
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]


def test_the_full_shape_is_openvlas(script: ModuleType) -> None:
    parameters = sum(prod(size) for _, size in script.tensors(script.Shape()))
    assert 7.4e9 < parameters < 7.6e9
