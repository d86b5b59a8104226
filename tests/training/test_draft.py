"""Tests of hyt.training.draft: what can be known is learned, figures are of other episodes, one command does it all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bundles import write_arm_bundle
from training_data import write_dataset

import hyt
from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import open_bundle
from hyt.runtime.observation import random_observation
from hyt.training.cli import main
from hyt.training.draft import DraftRecipe, Said, fit_draft, guesses

CHOICES = 8


def synthetic(count: int, seed: int = 0) -> Said:
    """Actions of 3 tokens: the second follows from the state, the third from state and first token, the first from
    neither."""
    random = np.random.default_rng(seed)
    states = random.normal(3.0, 2.0, (count, 6)).astype(np.float32)
    first = random.integers(0, CHOICES, count)
    second = np.clip(states[:, 0] + 1, 0, CHOICES - 1).astype(np.int64)
    third = np.where(states[:, 1] > 3, first, CHOICES - 1 - first)
    return Said(states, np.stack([first, second, third], axis=1), np.arange(count) // 10)


def test_what_follows_from_state_and_first_token_is_learned() -> None:
    draft = fit_draft(synthetic(6000), CHOICES, DraftRecipe(units=48, steps=2000))
    fresh = synthetic(1000, seed=1)
    right = guesses(draft.tensors, fresh.states, fresh.tokens[:, 0]) == fresh.tokens[:, 1:]
    assert right.mean(axis=0).min() > 0.85
    measured = draft.measured
    assert np.abs(np.array(measured["right"]) - right.mean(axis=0)).max() < 0.06
    assert measured["right_up_to"][1] <= min(measured["right"])
    assert max(measured["commonest"]) < 0.3


def test_the_same_recipe_gives_the_same_weights() -> None:
    recipe = DraftRecipe(units=4, steps=30)
    first, again = (fit_draft(synthetic(400), CHOICES, recipe).tensors for _ in range(2))
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_the_report_is_of_episodes_that_were_not_fitted_to() -> None:
    said = synthetic(1000)
    fit, test = (set(said.part(part).episodes.tolist()) for part in (False, True))
    assert not fit & test
    assert len(fit | test) == 100
    assert len(test) == 20


def test_data_without_episodes_to_measure_on_are_refused() -> None:
    with pytest.raises(hyt.InputError, match="draft: episodes; expected at least 5; received 4; use more data"):
        fit_draft(synthetic(40), CHOICES, DraftRecipe(steps=1))


def test_one_command_gives_a_checkpoint_whose_bundle_guesses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_arm_bundle(tmp_path)
    checkpoint, data = tmp_path / "tiny", write_dataset(tmp_path / "data", episodes=10, length=5)
    assert main(["draft", str(checkpoint), str(data), "--units", "4", "--steps", "20"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report == json.loads((checkpoint / "draft.json").read_text())
    assert report["decisions"] == [40, 10]
    export_bundle(checkpoint, tmp_path / "x.hyt", quantization="q4_0", threads=1)
    contract = open_bundle(tmp_path / "x.hyt").contract
    assert contract.draft is not None
    assert contract.draft.units == 4
    with hyt.load(tmp_path / "x.hyt", threads=1, speculate="draft") as policy:
        policy.reset(instruction="open the drawer")
        policy.act(random_observation(policy.contract, 0))
        assert policy.info["backend"]["speculation"]["drafted"] > 0
