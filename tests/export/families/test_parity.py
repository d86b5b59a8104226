"""The f32 bundle of every family says what transformers says; stock llama.cpp reads its language.gguf."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from families import SMALL, Case, write_llava, write_paligemma
from family_parity import check_bundle, check_llama_cpp
from prismatic import write_minivla, write_openvla

from hyt.export.exporter import export_bundle
from hyt.export.statement import Statement

FAMILIES: dict[str, Callable[[Path], Case]] = {
    "paligemma": write_paligemma,
    "llava clip llama": lambda path: write_llava(path, "clip", "llama"),
    "llava siglip qwen2": lambda path: write_llava(path, "siglip", "qwen2"),
    "llava clip qwen3": lambda path: write_llava(path, "clip", "qwen3"),
}


# What an OpenVLA checkpoint leaves open.
STATED = Statement(step_time=0.2, units=("m", "rad"))
PRISMATIC: dict[str, Callable[[Path], Case]] = {
    "openvla": lambda path: write_openvla(path, shards=True),
    "openvla native": lambda path: write_openvla(path, layout="native", seed=1),
    "minivla": write_minivla,
}


@pytest.mark.parametrize("name", PRISMATIC)
def test_f32_of_a_prismatic_model_is_dinov2_siglip_and_a_decoder(tmp_path: Path, name: str) -> None:
    case = PRISMATIC[name](tmp_path / "c")
    export_bundle(case.path, tmp_path / "x.hyt", quantization="f32", statement=STATED, threads=1)
    assert check_bundle(case, tmp_path / "x.hyt", "Open the drawer") > 8
    check_llama_cpp(case, tmp_path / "x.hyt" / "language.gguf", 400)


@pytest.mark.parametrize("name", FAMILIES)
def test_f32_is_transformers_and_llama_cpp_agrees(tmp_path: Path, name: str) -> None:
    case = FAMILIES[name](tmp_path / "c")
    export_bundle(case.path, tmp_path / "x.hyt", quantization="f32", threads=1)
    assert check_bundle(case, tmp_path / "x.hyt", "open the drawer") > 8
    check_llama_cpp(case, tmp_path / "x.hyt" / "language.gguf", SMALL.vocab_size)
