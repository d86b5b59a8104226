"""A fit learns, resumes exactly where it stopped, and writes a checkpoint that others can read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tiny_fit import SIZE, TINY
from tokenizers import Tokenizer
from training_data import write_dataset
from transformers import PaliGemmaForConditionalGeneration

from hyt.dataset import open_dataset
from hyt.runtime.contract import read_contract
from hyt.training.cli import main
from hyt.training.fit import fit
from hyt.training.recipe import Recipe
from hyt.training.start import Start, checkpoint_start, make_contract, make_vocabulary, random_start


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


def run(data: Path, output: Path, recipe: Recipe, start: Start | None = None, **options: Any) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    options = {"save_every": recipe.steps, "report": reports.append} | options
    fit(open_dataset(data), output, start or random_start(SIZE, "tiny", recipe.seed), recipe, **options)
    return reports


def test_the_fit_learns_its_data(data: Path, tmp_path: Path) -> None:
    reports = run(data, tmp_path / "fit", replace(TINY, steps=100, learning_rate=3e-3))
    losses = [r["loss"] for r in reports if "loss" in r]  # running means, the first after 10 steps
    assert losses[-1] < 0.7 * losses[0]


def test_a_policy_is_called_as_its_folder_as_asked_or_as_before(data: Path, tmp_path: Path) -> None:
    tiny, before = ["--size", "tiny"], ["--init", str(tmp_path / "drawer")]
    for folder, options, name in (
        ("drawer", tiny, "drawer"),
        ("second", [*tiny, "--name", "robot"], "robot"),
        ("third", before, "drawer"),
        ("fourth", [*before, "--name", "window"], "window"),
    ):
        arguments = ["fit", str(data), "-o", str(tmp_path / folder), "--steps", "1", "--batch", "1", "--threads", "1"]
        assert main([*arguments, *options]) == 0
        assert read_contract(tmp_path / folder / "hyt.json").name == name


def test_the_checkpoint_is_read_by_transformers_and_carries_its_contract(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "fit", TINY)
    model = PaliGemmaForConditionalGeneration.from_pretrained(tmp_path / "fit")
    contract = read_contract(tmp_path / "fit" / "hyt.json")
    assert contract == make_contract(make_vocabulary(), "tiny")
    assert model.config.text_config.vocab_size == contract.vocab_size
    tokenizer = Tokenizer.from_file(str(tmp_path / "fit" / "tokenizer.json"))
    assert tokenizer.token_to_id("<act>") == contract.modalities.act


def test_a_resumed_fit_ends_where_an_unbroken_one_ends(data: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, warm_up=0.0, decay=1.0)
    unbroken = run(data, tmp_path / "whole", recipe, save_every=5)

    class StoppedError(Exception):
        pass

    def stop_at_ten(values: dict[str, Any]) -> None:
        if values.get("step") == 10:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(data, tmp_path / "broken", recipe, save_every=5, report=stop_at_ten)
    resumed = run(data, tmp_path / "broken", recipe, save_every=5)
    assert resumed[0]["first_step"] == 5  # stopped behind step 10, before its save
    losses = {r["step"]: r["loss"] for r in unbroken if "loss" in r}
    again = {r["step"]: r["loss"] for r in resumed if "loss" in r}
    assert again == {step: loss for step, loss in losses.items() if step > 5}
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert whole.keys() == broken.keys()
    for key, value in whole.items():
        np.testing.assert_array_equal(value, broken[key], err_msg=key)


def test_a_fit_starts_from_the_weights_of_a_checkpoint_with_a_fresh_optimiser(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "first", TINY)
    start = checkpoint_start(tmp_path / "first")
    assert start.contract.name == "tiny"
    recipe = replace(TINY, steps=1, learning_rate=1e-9, packed=True)
    reports = run(data, tmp_path / "second", recipe, start)
    assert reports[0]["first_step"] == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    for key, value in first.items():
        np.testing.assert_allclose(value, second[key], atol=1e-6, err_msg=key)


def test_a_budget_of_positions_ends_the_fit_when_it_is_spent(data: Path, tmp_path: Path) -> None:
    reports = run(data, tmp_path / "fit", replace(TINY, positions=1500), save_every=5)
    spent = [r["positions"] for r in reports if "positions" in r]
    assert spent[-1] >= 1500
    assert spent[-2] < 1500


def test_the_model_starts_the_same_for_the_same_seed() -> None:
    from hyt.training.model import build_model, model_config

    vocabulary = make_vocabulary()
    config = model_config(SIZE, vocabulary, 128)
    first, second, other = (build_model(config, vocabulary, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_a_folder_of_other_things_is_not_written_into(data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    arguments = ["--size", "tiny", "--steps", "1", "--batch", "1", "--threads", "1"]
    assert main(["fit", str(data), "-o", str(tmp_path), *arguments]) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    assert main(["fit", str(data), "-o", str(tmp_path / "empty"), *arguments]) == 0
