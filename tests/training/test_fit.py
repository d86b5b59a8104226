"""A fit learns, resumes exactly where it stopped, and writes a checkpoint that others can read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from training_data import random_episode, write_episode
from transformers import PaliGemmaForConditionalGeneration

from hyt.runtime.contract import read_contract
from hyt.training.data import DatasetWriter
from hyt.training.data.arm import ARM
from hyt.training.fit import Recipe, fit, make_contract, make_vocabulary
from hyt.training.model import Size

TINY = Recipe(
    steps=20,
    batch=4,
    warm_up=5,
    threads=1,
    size=Size(
        hidden=32,
        layers=2,
        heads=2,
        kv_heads=1,
        head_dim=16,
        feed_forward=32,
        vision_hidden=32,
        vision_layers=1,
        vision_heads=2,
        vision_feed_forward=32,
        patch=64,
    ),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("episodes")
    random = np.random.default_rng(0)
    fitted, held_out = (random_episode(random, "drawer-open-v3", 12), random_episode(random, "drawer-open-v3", 6))
    for number in range(25):  # the last is for validation
        write_episode(directory, held_out if number == 24 else fitted, number)
    DatasetWriter(directory, ARM).pack()
    return directory


def run(data: Path, output: Path, recipe: Recipe) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    fit(data, output, recipe, name="tiny", save_every=recipe.steps, report=reports.append)
    return reports


def test_the_fit_learns_its_data(data: Path, tmp_path: Path) -> None:
    reports = run(data, tmp_path / "fit", replace(TINY, steps=100, learning_rate=3e-3))
    losses = [r["loss"] for r in reports if "loss" in r]  # running means, the first after 10 steps
    assert losses[-1] < 0.7 * losses[0]


def test_the_checkpoint_is_read_by_transformers_and_carries_its_contract(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "fit", TINY)
    model = PaliGemmaForConditionalGeneration.from_pretrained(tmp_path / "fit")
    contract = read_contract(tmp_path / "fit" / "hyt.json")
    assert contract == make_contract(make_vocabulary(), "tiny")
    assert model.config.text_config.vocab_size == contract.vocab_size
    tokenizer = Tokenizer.from_file(str(tmp_path / "fit" / "tokenizer.json"))
    assert tokenizer.token_to_id("<act>") == contract.modalities.act


def test_a_resumed_fit_ends_where_an_unbroken_one_ends(data: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, decay=1.0)
    fit(data, tmp_path / "whole", recipe, name="tiny", save_every=5, report=lambda _: None)

    class StoppedError(Exception):
        pass

    def stop_at_ten(values: dict[str, Any]) -> None:
        if values.get("step") == 10:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit(data, tmp_path / "broken", recipe, name="tiny", save_every=5, report=stop_at_ten)
    fit(data, tmp_path / "broken", recipe, name="tiny", save_every=5, report=lambda _: None)
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert whole.keys() == broken.keys()
    for key, value in whole.items():
        np.testing.assert_array_equal(value, broken[key], err_msg=key)


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    recipe = Recipe(steps=1000, learning_rate=1.0, warm_up=100, decay=0.4)
    assert recipe.rate(0) == pytest.approx(0.01)
    assert recipe.rate(100) == recipe.rate(599) == 1.0
    assert recipe.rate(800) == pytest.approx(0.51)
    assert 0.02 <= recipe.rate(999) < 0.021


def test_the_model_starts_the_same_for_the_same_seed() -> None:
    from hyt.training.model import build_model, model_config

    vocabulary = make_vocabulary()
    config = model_config(TINY.size, vocabulary, 128)
    first, second, other = (build_model(config, vocabulary, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
