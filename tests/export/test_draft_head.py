"""The draft head in an export: it reaches the bundle as it is, and answers stay what they are without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.torch import load_file, save_file

import hyt
from hyt.errors import CheckpointError, InputError
from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import open_bundle
from hyt.runtime.observation import random_observation

DRAFTED = replace(checkpoints.WIDE, gate_units=3, draft_units=4)


@pytest.fixture
def drafted(tmp_path: Path) -> checkpoints.Checkpoint:
    return checkpoints.write_checkpoint(tmp_path / "tiny", DRAFTED)


def refusal(checkpoint: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        export_bundle(checkpoint, checkpoint.with_suffix(".hyt"), threads=1)
    return str(caught.value)


def test_the_bundle_holds_its_tensors_beside_the_gates(drafted: checkpoints.Checkpoint, tmp_path: Path) -> None:
    export_bundle(drafted.path, tmp_path / "x.hyt", threads=1)
    bundle = open_bundle(tmp_path / "x.hyt")
    assert bundle.contract.draft == drafted.contract.draft
    assert bundle.head is not None
    written = {tensor.name: np.asarray(tensor.data) for tensor in GGUFReader(bundle.head).tensors}
    expected = load_file(drafted.path / "draft.safetensors")
    assert {name for name in written if name.startswith("draft.")} == {f"draft.{name}" for name in expected}
    assert len(written) == len(expected) + 4
    assert all(np.array_equal(written[f"draft.{name}"], value.numpy()) for name, value in expected.items())


def test_the_loaded_policy_says_the_same_with_it_and_without(drafted: checkpoints.Checkpoint, tmp_path: Path) -> None:
    export_bundle(drafted.path, tmp_path / "x.hyt", quantization="q4_0", threads=1)
    with (
        hyt.load(tmp_path / "x.hyt", threads=1, speculate="off") as plain,
        hyt.load(tmp_path / "x.hyt", threads=1, speculate="draft") as guessing,
    ):
        for policy in (plain, guessing):
            policy.reset(instruction="open the drawer")
        for seed in range(5):
            expected, received = (p.act(random_observation(p.contract, seed)) for p in (plain, guessing))
            assert np.array_equal(received.tokens, expected.tokens)
        assert guessing.info["backend"]["speculation"]["drafted"] > 0
        assert plain.info["backend"]["speculation"]["drafted"] == 0


def test_a_policy_without_one_cannot_be_told_to_guess_by_it(tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match="expected a draft head for speculate 'draft'; received none"):
        hyt.load(tiny_bundle, threads=1, speculate="draft")
    with pytest.raises(InputError, match="speculate; expected one of auto, off, last, draft; received 'never'"):
        hyt.load(tiny_bundle, threads=1, speculate="never")


def test_one_that_is_named_but_not_there_or_there_but_not_named_is_refused(
    drafted: checkpoints.Checkpoint, checkpoint_copy: Path
) -> None:
    (drafted.path / "draft.safetensors").unlink()
    assert "expected to be there for a policy whose hyt.json has a draft head; received none" in refusal(drafted.path)
    save_file(checkpoints.make_draft(DRAFTED), str(checkpoint_copy / "draft.safetensors"))
    assert "expected to be left out of a policy whose hyt.json has no draft head" in refusal(checkpoint_copy)


def test_one_of_another_shape_is_refused(drafted: checkpoints.Checkpoint) -> None:
    save_file(checkpoints.make_draft(replace(DRAFTED, action_bins=15)), str(drafted.path / "draft.safetensors"))
    assert "tensor 'first.weight'; expected shape [16, 4] by hyt.json and config.json; received [15, 4]" in refusal(
        drafted.path
    )


def test_a_contract_with_nothing_to_guess_has_none() -> None:
    data = checkpoints.contract_data(replace(DRAFTED, steps=1, dimensions=1))
    with pytest.raises(ValueError, match="draft guesses the later action tokens: there must be at least 2"):
        type(checkpoints.make_contract()).model_validate(data)
