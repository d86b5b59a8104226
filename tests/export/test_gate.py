"""The gate in an export: a checkpoint's gate reaches the bundle as it is, and a bundle without one has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.torch import load_file, save_file

import hyt
from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import open_bundle
from hyt.runtime.observation import Observation

GATED = replace(checkpoints.DEFAULT, gate_units=4)


@pytest.fixture
def gated(tmp_path: Path) -> checkpoints.Checkpoint:
    return checkpoints.write_checkpoint(tmp_path / "tiny", GATED)


def refusal(checkpoint: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        export_bundle(checkpoint, checkpoint.with_suffix(".hyt"), threads=1)
    assert not checkpoint.with_suffix(".hyt").exists()
    return str(caught.value)


def test_the_bundle_holds_the_gates_tensors_bit_by_bit(gated: checkpoints.Checkpoint, tmp_path: Path) -> None:
    export_bundle(gated.path, tmp_path / "x.hyt", threads=1)
    bundle = open_bundle(tmp_path / "x.hyt")
    assert bundle.contract.gate == gated.contract.gate
    assert bundle.head is not None
    assert bundle.manifest.quantization.types["head.gguf"] == {"f32": 4}
    written = {tensor.name: np.asarray(tensor.data) for tensor in GGUFReader(bundle.head).tensors}
    expected = load_file(gated.path / "gate.safetensors")
    assert written.keys() == {f"gate.{name}" for name in expected}
    assert all(np.array_equal(written[f"gate.{name}"], value.numpy()) for name, value in expected.items())


def test_the_loaded_policy_asks_its_gate(gated: checkpoints.Checkpoint, tmp_path: Path) -> None:
    export_bundle(gated.path, tmp_path / "x.hyt", threads=1)
    observation = Observation({"camera0": np.zeros((28, 28, 3), np.uint8)}, [0.0] * 4)
    with hyt.load(tmp_path / "x.hyt", threads=1) as policy:
        policy.reset(instruction="open the drawer")
        chunk, thought = policy.decide(observation)
        assert chunk.think_probability is not None
        assert (thought is not None) == (chunk.think_probability >= 0.5)
        assert policy.decide(observation, threshold=0.0)[0].tokens.tolist() == thinks(policy, observation)
        assert policy.decide(observation, threshold=1.0)[0].tokens.tolist() == policy.act(observation).tokens.tolist()
        assert policy.act_state().shape == (GATED.hidden,)


def thinks(policy: hyt.Policy, observation: Observation) -> list[int]:
    action = policy.think(observation).action
    assert action is not None
    return action.tokens.tolist()


def test_a_checkpoint_without_a_gate_gives_a_bundle_without_one(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    assert bundle.contract.gate is None
    assert bundle.head is None


def test_the_gate_is_part_of_the_checkpoints_hash(gated: checkpoints.Checkpoint) -> None:
    with Checkpoint(gated.path) as opened:
        before = opened.sha256()
        save_file(checkpoints.make_gate(GATED, seed=5), str(gated.path / "gate.safetensors"))
        assert opened.sha256() != before


def test_a_gate_that_is_named_but_not_there_is_refused(gated: checkpoints.Checkpoint) -> None:
    (gated.path / "gate.safetensors").unlink()
    expected = "gate.safetensors; expected to be there for a policy whose hyt.json has a gate; received none"
    assert expected in refusal(gated.path)


def test_a_gate_that_is_there_but_not_named_is_refused(checkpoint_copy: Path) -> None:
    save_file(checkpoints.make_gate(GATED), str(checkpoint_copy / "gate.safetensors"))
    expected = "gate.safetensors; expected to be left out of a policy whose hyt.json has no gate; received it is there"
    assert expected in refusal(checkpoint_copy)


def test_a_gate_of_another_width_is_refused(gated: checkpoints.Checkpoint) -> None:
    save_file(checkpoints.make_gate(replace(GATED, hidden=63)), str(gated.path / "gate.safetensors"))
    assert "tensor 'up.weight'; expected shape [4, 64] by hyt.json and config.json; received [4, 63]" in refusal(
        gated.path
    )


def test_a_gate_with_nan_is_refused(gated: checkpoints.Checkpoint) -> None:
    gate = checkpoints.make_gate(GATED)
    gate["down.weight"][2] = float("nan")
    save_file(gate, str(gated.path / "gate.safetensors"))
    assert "tensor 'down.weight'; expected finite weights; received NaN or infinity" in refusal(gated.path)
