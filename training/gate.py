"""Fits the gate: when would thinking change a policy's action for the better?

1. The policy, exported as it will run, answers decisions of a dataset twice: it acts, and it thinks and acts.
   Each answer's *error* is the mean distance of its chunk from the expert's, in [-1, 1] units of the contract.
2. A decision is labelled 1 where thinking lowers the error by more than `margin`, else 0.
3. One hidden layer on the standardised state (`Policy.act_state`) is fitted to the labels by cross-entropy.
4. Platt's scaling on other episodes makes its result a probability; both scalings are folded into the weights.
5. On these episodes the threshold is chosen: of all that keep at least `keep` of what the best threshold takes off the
   error of never thinking, the one that thinks least. (Thinking always is one of the thresholds, so with `keep` 0.95
   the gate keeps at least 95% of what the better mode gains.)
6. Third episodes, seen by none of this, give the figures that are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hyt.dataset import Decision
from hyt.errors import InputError
from hyt.runtime.contract import Contract
from hyt.runtime.policy import Policy
from hyt.training.answers import Report, asked, ranks

Floats = npt.NDArray[np.float64]

FIT, CALIBRATE, TEST = 0, 1, 2
_PARTS = np.array([FIT] * 14 + [CALIBRATE] * 3 + [TEST] * 3)
"""Of every 20 episodes: for the weights, for calibration and threshold, for the report."""


@dataclass(frozen=True)
class GateRecipe:
    """All that decides a gate, besides policy and data."""

    decisions: int = 6000
    """At most so many decisions are asked, spread evenly over the dataset."""
    margin: float = 0.05
    """Least gain of a thought, in [-1, 1] units: smaller ones are rounding between bins more than thought."""
    keep: float = 0.95
    units: int = 32
    steps: int = 200
    learning_rate: float = 1e-2
    weight_decay: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Judged:
    """N decisions as the policy answered them.

    states (N, hidden); act_errors, think_errors (N,), in [-1, 1] units; episodes (N,), counted from 0
    """

    states: npt.NDArray[np.float32]
    act_errors: Floats
    think_errors: Floats
    episodes: npt.NDArray[np.int64]

    def part(self, part: int) -> Judged:
        """The decisions of one part of the episodes: FIT, CALIBRATE or TEST."""
        at = _PARTS[self.episodes % len(_PARTS)] == part
        return Judged(self.states[at], self.act_errors[at], self.think_errors[at], self.episodes[at])

    def labels(self, margin: float) -> npt.NDArray[np.bool_]:
        """Where thinking betters the action by more than `margin`, (N,)."""
        better: npt.NDArray[np.bool_] = self.think_errors < self.act_errors - margin
        return better


@dataclass(frozen=True)
class FittedGate:
    """Tensors as `gate.safetensors` holds them, float32; the threshold; what was measured on the third episodes."""

    tensors: dict[str, npt.NDArray[np.float32]]
    threshold: float
    measured: dict[str, Any]

    @property
    def units(self) -> int:
        """Number of hidden units."""
        return len(self.tensors["up.bias"])


def judge(policy: Policy, decisions: Sequence[Decision], recipe: GateRecipe, report: Report) -> Judged:
    """Let the policy act and think on decisions of a dataset; raises InputError for those it cannot read."""
    states, act_errors, think_errors, episodes = [], [], [], []
    for decision, observation in asked(policy, decisions, recipe.decisions, "gate", report):
        acted = policy.act(observation)
        states.append(policy.act_state())
        thought = policy.think(observation).action
        assert thought is not None  # no deadline was given
        act_errors.append(action_error(policy.contract, acted.values, decision.action))
        think_errors.append(action_error(policy.contract, thought.values, decision.action))
        episodes.append(decision.episode)
    return Judged(np.stack(states), np.array(act_errors), np.array(think_errors), ranks(episodes))


def action_error(contract: Contract, action: npt.NDArray[np.float32], expert: npt.NDArray[np.float32]) -> float:
    """Mean distance of two chunks (steps, D) in the robot's units, each number scaled to [-1, 1] and clipped to it."""
    low = np.array([d.low for d in contract.action.dimensions])
    high = np.array([d.high for d in contract.action.dimensions])
    scaled = [np.clip((np.asarray(a, np.float64) - low) / (high - low) * 2 - 1, -1, 1) for a in (action, expert)]
    return float(np.abs(scaled[0] - scaled[1]).mean())


def fit_gate(judged: Judged, recipe: GateRecipe) -> FittedGate:
    """Fit, calibrate, choose the threshold and measure; raises InputError when the data cannot teach a gate."""
    fit, calibrate, test = (judged.part(part) for part in (FIT, CALIBRATE, TEST))
    for name, part in (("fit", fit), ("calibration", calibrate), ("test", test)):
        labels = part.labels(recipe.margin)
        if labels.all() or not labels.any():
            received = f"{int(labels.sum())} of {len(labels)} decisions in which thinking is better"
            raise InputError(
                f"gate, {name} episodes", expected="some of both kinds", received=received, remedy="use more data"
            )
    tensors = _fit_weights(fit.states, fit.labels(recipe.margin), recipe)
    scale, shift = platt(logits(tensors, calibrate.states), calibrate.labels(recipe.margin))
    tensors["down.weight"] = (tensors["down.weight"] * scale).astype(np.float32)
    tensors["down.bias"] = (tensors["down.bias"] * scale + shift).astype(np.float32)
    threshold = choose_threshold(probabilities(tensors, calibrate.states), calibrate, recipe.keep)
    said, labels = probabilities(tensors, test.states), test.labels(recipe.margin)
    thinks = said >= threshold
    measured = {
        "decisions": [len(part.episodes) for part in (fit, calibrate, test)],
        "thinking_better": round(float(labels.mean()), 4),
        "auc": round(auc(said, labels), 4),
        "brier": round(float(np.mean((said - labels) ** 2)), 4),
        "brier_of_the_base_rate": round(float(np.mean((labels.mean() - labels) ** 2)), 4),
        "calibration": calibration_table(said, labels),
        "threshold": threshold,
        "thinking_rate": round(float(thinks.mean()), 4),
        "error_never": round(float(test.act_errors.mean()), 4),
        "error_always": round(float(test.think_errors.mean()), 4),
        "error_gate": round(float(np.where(thinks, test.think_errors, test.act_errors).mean()), 4),
        "error_oracle": round(float(np.minimum(test.think_errors, test.act_errors).mean()), 4),
    }
    return FittedGate(tensors, threshold, measured)


def logits(tensors: dict[str, npt.NDArray[np.float32]], states: npt.NDArray[np.float32]) -> Floats:
    """What the sigmoid is taken of, (N,), in double as the core computes it."""
    up, up_bias, down, down_bias = (
        tensors[name].astype(np.float64) for name in ("up.weight", "up.bias", "down.weight", "down.bias")
    )
    result: Floats = np.maximum(states.astype(np.float64) @ up.T + up_bias, 0) @ down + down_bias[0]
    return result


def probabilities(tensors: dict[str, npt.NDArray[np.float32]], states: npt.NDArray[np.float32]) -> Floats:
    """What the gate says, (N,)."""
    return _sigmoid(logits(tensors, states))


def platt(z: Floats, labels: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Scale and shift of logits (N,) that make sigmoid(scale z + shift) most likely; scale at least 0.

    Newton's method on the log loss of smoothed targets (Platt 1999), which stays finite on separable data.
    """
    yes, no = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (yes + 1) / (yes + 2), 1 / (no + 2))
    x = np.stack([z, np.ones_like(z)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(100):
        p = _sigmoid(x @ weights)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, x.T @ (p - target))
        weights -= step * min(1.0, 2.0 / float(np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    if weights[0] < 0:  # worse than chance on other episodes: it knows nothing but how often thinking helps
        return 0.0, float(np.log(target.mean() / (1 - target.mean())))
    return float(weights[0]), float(weights[1])


def choose_threshold(said: Floats, judged: Judged, keep: float) -> float:
    """The least thinking that keeps `keep` of what the best threshold takes off the error of never thinking.

    1 (never) where no threshold takes anything off.
    """
    order = np.argsort(-said, kind="stable")
    gains = (judged.act_errors - judged.think_errors)[order]
    # Thinking about the n likeliest decisions; thresholds can only tell different probabilities apart.
    gained = np.concatenate([[0.0], np.cumsum(gains)])
    ends = np.flatnonzero(np.append(np.diff(said[order]) != 0, True)) + 1
    best = float(gained[ends].max())
    if best <= 0:
        return 1.0
    enough = ends[gained[ends] >= keep * best][0]
    return float(said[order][enough - 1])


def auc(said: Floats, labels: npt.NDArray[np.bool_]) -> float:
    """Chance that a decision where thinking is better gets the higher probability; ties count half."""
    _, inverse, counts = np.unique(said, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    yes, no = int(labels.sum()), int((~labels).sum())
    return float((ranks[labels].sum() - yes * (yes + 1) / 2) / (yes * no))


def calibration_table(said: Floats, labels: npt.NDArray[np.bool_]) -> list[dict[str, float]]:
    """For each tenth of probability that occurs: how many decisions, what the gate says on average, and what is."""
    tenth = np.minimum((said * 10).astype(int), 9)
    return [
        {
            "from": number / 10,
            "count": int((tenth == number).sum()),
            "said": round(float(said[tenth == number].mean()), 4),
            "true": round(float(labels[tenth == number].mean()), 4),
        }
        for number in np.unique(tenth)
    ]


def _fit_weights(
    states: npt.NDArray[np.float32], labels: npt.NDArray[np.bool_], recipe: GateRecipe
) -> dict[str, npt.NDArray[np.float32]]:
    """The network of the gate, fitted on standardised states; standardising is folded into its first layer."""
    mean, deviation = states.mean(axis=0), states.std(axis=0) + 1e-6
    x = torch.from_numpy((states - mean) / deviation)
    y = torch.from_numpy(labels.astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        up, down = torch.nn.Linear(x.shape[1], recipe.units), torch.nn.Linear(recipe.units, 1)
    network = torch.nn.Sequential(up, torch.nn.ReLU(), down)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    for _ in range(recipe.steps):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(x)[:, 0], y)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    weight, bias = (value.detach().numpy().astype(np.float64) for value in (up.weight, up.bias))
    folded = weight / deviation
    return {
        "up.weight": folded.astype(np.float32),
        "up.bias": (bias - folded @ mean).astype(np.float32),
        "down.weight": down.weight.detach().numpy()[0].copy(),
        "down.bias": down.bias.detach().numpy().copy(),
    }


def _sigmoid(z: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-np.clip(z, -500, 500)))
    return result
