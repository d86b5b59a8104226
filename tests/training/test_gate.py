"""Tests of hyt.training.gate: labels, calibration, threshold and folding against independent computations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from bundles import write_arm_bundle
from gguf import GGUFReader
from training_data import write_dataset

import hyt
from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import open_bundle
from hyt.training.cli import main
from hyt.training.gate import (
    FIT,
    TEST,
    GateRecipe,
    Judged,
    action_error,
    auc,
    calibration_table,
    choose_threshold,
    fit_gate,
    platt,
    probabilities,
)


def synthetic(count: int, seed: int = 0) -> tuple[Judged, np.ndarray]:
    """Decisions whose first state value alone tells how probable it is that thinking helps; and that probability."""
    random = np.random.default_rng(seed)
    states = random.normal(3.0, 2.0, (count, 8)).astype(np.float32)
    true = 1 / (1 + np.exp(-2 * (states[:, 0] - 3.5)))
    helps = random.random(count) < true
    act = random.uniform(0.3, 0.5, count)
    return Judged(states, act, np.where(helps, act - 0.2, act + 0.1), np.arange(count) // 10), true


def test_on_synthetic_data_the_probabilities_are_the_true_ones() -> None:
    judged, _ = synthetic(20_000)
    gate = fit_gate(judged, GateRecipe(units=8, weight_decay=0.01))
    fresh, true = synthetic(5_000, seed=1)
    said = probabilities(gate.tensors, fresh.states)
    assert np.abs(said - true).mean() < 0.03
    for row in calibration_table(said, fresh.labels(0.05)):
        assert abs(row["said"] - row["true"]) < 4 * (0.25 / row["count"]) ** 0.5 + 0.03
    measured = gate.measured
    assert measured["brier"] < measured["brier_of_the_base_rate"]
    # Thinking pays where its chance is above one third: it gains 0.2 or loses 0.1.
    assert measured["error_gate"] < min(measured["error_never"], measured["error_always"])
    assert measured["error_oracle"] < measured["error_gate"]


def test_the_parts_share_no_episode_and_hold_every_decision() -> None:
    judged, _ = synthetic(1_000)
    parts = [set(judged.part(part).episodes.tolist()) for part in (0, 1, 2)]
    assert sum(len(part) for part in parts) == len(set().union(*parts)) == 100
    assert len(parts[FIT]) == 70
    assert len(parts[TEST]) == 15


def test_a_label_asks_for_more_than_the_margin() -> None:
    judged = Judged(np.zeros((3, 1), np.float32), np.array([0.5, 0.5, 0.5]), np.array([0.3, 0.45, 0.6]), np.arange(3))
    assert judged.labels(0.1).tolist() == [True, False, False]


def test_the_error_is_in_half_ranges_and_clipped() -> None:
    contract = checkpoints.make_contract()  # -0.5 to 0.5 in each dimension
    expert = np.zeros((2, 4), np.float32)
    action = expert.copy()
    action[0, 1] = 0.25
    assert action_error(contract, action, expert) == pytest.approx(0.5 / 8)
    assert action_error(contract, action + 9, expert) == pytest.approx(1.0)


def test_platts_scaling_is_the_minimum_of_the_log_loss() -> None:
    random = np.random.default_rng(2)
    z = random.normal(0, 3, 500)
    labels = random.random(500) < 1 / (1 + np.exp(-(0.5 * z - 1)))
    scale, shift = platt(z, labels)
    yes, no = labels.sum(), (~labels).sum()
    target = torch.from_numpy(np.where(labels, (yes + 1) / (yes + 2), 1 / (no + 2)))
    at = torch.tensor([scale, shift], dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(at[0] * torch.from_numpy(z) + at[1], target)
    (slope,) = torch.autograd.grad(loss, at)
    assert slope.abs().max() < 1e-8


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_platts_scaling_stays_finite_on_separable_data_and_never_turns_the_order_around(sign: float) -> None:
    scale, shift = platt(sign * np.linspace(-1, 1, 50), np.linspace(-1, 1, 50) > 0)
    assert np.isfinite([scale, shift]).all()
    assert scale > 0 if sign > 0 else scale == 0


def test_the_auc_is_the_share_of_ordered_pairs() -> None:
    random = np.random.default_rng(3)
    said, labels = np.round(random.random(60), 1), random.random(60) < 0.4
    pairs = [(y > n) + 0.5 * (y == n) for y in said[labels] for n in said[~labels]]
    assert auc(said, labels) == pytest.approx(np.mean(pairs))


def test_the_threshold_thinks_least_among_those_that_keep_the_gain() -> None:
    random = np.random.default_rng(4)
    said = np.round(random.random(200), 2)
    judged = Judged(np.zeros((200, 1), np.float32), random.random(200), random.random(200) - 0.3 * said, np.arange(200))

    def gain(threshold: float) -> float:
        return float((judged.act_errors - judged.think_errors)[said >= threshold].sum())

    enough = [t for t in np.unique(said) if gain(t) >= 0.95 * max(gain(t) for t in np.unique(said))]
    assert choose_threshold(said, judged, 0.95) == max(enough)


def test_where_thinking_never_pays_the_threshold_is_never() -> None:
    judged = Judged(np.zeros((9, 1), np.float32), np.full(9, 0.1), np.full(9, 0.2), np.arange(9))
    assert choose_threshold(np.linspace(0.1, 0.9, 9), judged, 0.95) == 1.0


def test_data_that_teach_nothing_are_refused() -> None:
    judged, _ = synthetic(400)
    same = Judged(judged.states, judged.act_errors, judged.act_errors, judged.episodes)
    with pytest.raises(hyt.InputError) as caught:
        fit_gate(same, GateRecipe())
    assert str(caught.value) == (
        "gate, fit episodes; expected some of both kinds; "
        "received 0 of 280 decisions in which thinking is better; use more data"
    )


def test_one_command_gives_a_checkpoint_whose_bundle_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_arm_bundle(tmp_path)
    checkpoint, data = tmp_path / "tiny", write_dataset(tmp_path / "data", episodes=40, length=5)
    command = ["gate", str(checkpoint), str(data), "--margin", "0", "--units", "4"]
    assert main(command) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report == json.loads((checkpoint / "gate.json").read_text())
    assert sum(report["decisions"]) == 200
    export_bundle(checkpoint, tmp_path / "gated.hyt", threads=1)
    bundle = open_bundle(tmp_path / "gated.hyt")
    assert bundle.contract.gate is not None
    assert bundle.contract.gate.threshold == report["threshold"]
    assert bundle.head is not None
    tensors = {t.name.removeprefix("gate."): np.asarray(t.data) for t in GGUFReader(bundle.head).tensors}
    with hyt.load(tmp_path / "gated.hyt", threads=1) as policy:
        policy.reset(instruction="open the drawer")
        random = np.random.default_rng(0)
        image = random.integers(0, 256, (128, 128, 3), dtype=np.uint8)
        chunk = policy.act(hyt.Observation({"corner2": image}, [0.0, 0.6, 0.2, 1.0]))
        expected = probabilities(tensors, policy.act_state()[None])[0]
        assert chunk.think_probability == pytest.approx(expected, abs=1e-6)
    # A second run replaces the gate, and the same data give the same one.
    before = (checkpoint / "gate.safetensors").read_bytes()
    assert main(command) == 0
    assert (checkpoint / "gate.safetensors").read_bytes() == before
