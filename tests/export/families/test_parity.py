"""The f32 bundle of every family says what transformers says; stock llama.cpp reads its language.gguf."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from families import write_llava
from family_cases import FAMILIES, LLAMA3
from family_parity import F32_BOUND, LLAMA_CPP_BOUND, check_bundle, check_llama_cpp, core_logits, random_images

from hyt.export import families
from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import open_bundle


def test_every_family_that_is_listed_has_a_case() -> None:
    assert {listed.family for listed in FAMILIES.values()} == {family.name for family in families.FAMILIES}


@pytest.mark.parametrize("name", FAMILIES)
def test_f32_is_transformers_and_llama_cpp_agrees(tmp_path: Path, name: str) -> None:
    listed = FAMILIES[name]
    case = listed.write(tmp_path / "c")
    export_bundle(case.path, tmp_path / "x.hyt", quantization="f32", statement=listed.statement, threads=1)
    bundle = open_bundle(tmp_path / "x.hyt")
    assert bundle.manifest.family == listed.family
    assert check_bundle(case, bundle.path, listed.instruction) > 8
    check_llama_cpp(case, bundle.language, bundle.contract.vocab_size)


@pytest.mark.parametrize("seed", [1, 2])
def test_llama_3_scales_positions_far_beyond_its_first_context(tmp_path: Path, seed: int) -> None:
    case = write_llava(tmp_path / "c", "clip", "llama", seed=seed, scaling=LLAMA3)
    export_bundle(case.path, tmp_path / "x.hyt", quantization="f32", threads=1)
    bundle = open_bundle(tmp_path / "x.hyt")
    check_llama_cpp(case, bundle.language, bundle.contract.vocab_size, count=200)
    rng = np.random.default_rng(seed)
    layout = np.concatenate([[-1, -2], rng.integers(6, 40, 120)]).astype(np.int32)
    tokens = rng.integers(6, 40, 20).tolist()
    images = list(random_images(bundle, seed).values())
    expected = case.logits(images, layout.tolist(), tokens)
    for own_kernels in (True, False):
        actual = core_logits(bundle, images, layout, tokens, own_kernels)
        bound = F32_BOUND if own_kernels else LLAMA_CPP_BOUND
        assert np.abs(actual - expected).max() < bound * np.abs(expected).max()
