"""Verification acts once on a bundle and refuses what a robot could not use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from checkpoints import Checkpoint, contract_data

from hyt.errors import BundleError
from hyt.export.verify import verify_bundle
from hyt.runtime.actions import ActionChunk
from hyt.runtime.contract import Contract
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy
from hyt.runtime.prompt import Prompt, read_tokenizer


def changed(monkeypatch: pytest.MonkeyPatch, change: Callable[[ActionChunk], ActionChunk]) -> None:
    act = Policy.act
    monkeypatch.setattr(Policy, "act", lambda self, observation: change(act(self, observation)))


def test_a_good_bundle_is_recorded_without_anything_that_varies(tiny_bundle: Path) -> None:
    record = verify_bundle(tiny_bundle, threads=1)
    said = {"observation": "uniform noise, seed 0", "mode": "act", "action_tokens": 8, "finite": True}
    assert record == {**said, "backends": ["core"]}


def test_the_synthetic_observation_fits_the_contract(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Observation] = []
    act = Policy.act
    monkeypatch.setattr(Policy, "act", lambda self, observation: seen.append(observation) or act(self, observation))
    verify_bundle(tiny_bundle, threads=1)
    assert seen[0].images["camera0"].shape == (28, 28, 3)
    assert seen[0].images["camera0"].std() > 50
    np.testing.assert_array_equal(seen[0].state, np.zeros(4))


def test_an_action_that_is_not_finite_is_refused(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda chunk: replace(chunk, values=np.full_like(chunk.values, np.nan)))
    with pytest.raises(BundleError, match="finite action"):
        verify_bundle(tiny_bundle, threads=1)


def test_a_token_that_is_no_action_is_refused(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda chunk: replace(chunk, tokens=np.array([*chunk.tokens[1:], 0], np.int32)))
    with pytest.raises(BundleError, match="expected 8 action tokens; received 8 tokens, of them 1 other"):
        verify_bundle(tiny_bundle, threads=1)


def test_a_policy_without_known_instructions_is_given_a_word_of_its_tokenizer(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = Contract.model_validate({**contract_data(), "instructions": []})
    prompt = Prompt(contract, read_tokenizer(tiny_checkpoint.path / "tokenizer.json", contract))
    asked: list[str] = []
    tokens = np.full(contract.action.tokens, contract.action.token_ids[0], np.int32)

    class Stub:
        def __init__(self) -> None:
            self.contract, self.prompt = contract, prompt

        def __enter__(self) -> Stub:
            return self

        def __exit__(self, *error: object) -> None:
            asked.append("closed")

        def reset(self, *, instruction: str) -> None:
            asked.append(instruction)

        def act(self, observation: Observation) -> Any:
            return SimpleNamespace(tokens=tokens, values=np.zeros((2, 4)), confidence=0.5, think_probability=None)

    monkeypatch.setattr("hyt.export.verify.load", lambda path, **options: Stub())
    verify_bundle(Path("x.hyt"), threads=1)
    assert prompt.encode(asked[0])
    assert asked[1] == "closed"
