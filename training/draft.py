"""Fits the draft head: guesses the rest of an action from what the decoder left at its first position.

1. The policy, exported as it will run, acts on decisions of a dataset. What it says is what is to be guessed: the
   expert's actions play no part.
2. One hidden layer on the standardised state (`Policy.act_state`) and the first token is fitted to the other tokens
   by cross-entropy, position by position. Standardising is folded into the weights.
3. Other episodes, seen by none of this, give the figures that are reported.

A guess is checked before it is used, so a draft head changes the time of an action and nothing else.
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
from hyt.runtime.policy import Policy
from hyt.training.answers import Report, asked, ranks

_TEST_OF = 5
"""Every so many-th episode is for the report."""


@dataclass(frozen=True)
class DraftRecipe:
    """All that decides a draft head, besides policy and data."""

    decisions: int = 20000
    """At most so many decisions are asked, spread evenly over the dataset."""
    units: int = 64
    steps: int = 3000
    batch: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    seed: int = 0


@dataclass(frozen=True)
class Said:
    """N decisions as the policy answered them: states (N, hidden), tokens (N, K) as indices of the action tokens,
    episodes (N,), counted from 0."""

    states: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.int64]
    episodes: npt.NDArray[np.int64]

    def part(self, test: bool) -> Said:
        """The decisions of the episodes that are fitted to, or of those for the report."""
        at = (self.episodes % _TEST_OF == _TEST_OF - 1) == test
        return Said(self.states[at], self.tokens[at], self.episodes[at])


@dataclass(frozen=True)
class FittedDraft:
    """Tensors as `draft.safetensors` holds them, float32; what was measured on the other episodes."""

    tensors: dict[str, npt.NDArray[np.float32]]
    measured: dict[str, Any]

    @property
    def units(self) -> int:
        """Number of hidden units."""
        return len(self.tensors["up.bias"])


def listen(policy: Policy, decisions: Sequence[Decision], recipe: DraftRecipe, report: Report) -> Said:
    """Let the policy act on decisions of a dataset; raises InputError for those it cannot read, and for a policy whose
    actions have nothing to guess."""
    action = policy.contract.action
    if action.tokens < 2:
        expected = "actions of several tokens"
        raise InputError(f"policy {policy.contract.name!r}", expected=expected, received=f"{action.tokens}")
    index_of = {token: index for index, token in enumerate(action.token_ids)}
    states, tokens, episodes = [], [], []
    for decision, observation in asked(policy, decisions, recipe.decisions, "draft", report):
        chunk = policy.act(observation)
        assert chunk.tokens is not None  # its actions are tokens
        states.append(policy.act_state())
        tokens.append([index_of[token] for token in chunk.tokens.tolist()])
        episodes.append(decision.episode)
    return Said(np.stack(states), np.array(tokens, np.int64), ranks(episodes))


def fit_draft(said: Said, choices: int, recipe: DraftRecipe) -> FittedDraft:
    """Fit and measure; raises InputError where too few episodes are there to measure on."""
    fit, test = said.part(False), said.part(True)
    if not len(fit.tokens) or not len(test.tokens):
        received = str(int(said.episodes.max()) + 1)
        raise InputError("draft: episodes", expected=f"at least {_TEST_OF}", received=received, remedy="use more data")
    tensors = _fit_weights(fit, choices, recipe)
    right = guesses(tensors, test.states, test.tokens[:, 0]) == test.tokens[:, 1:]
    measured = {
        "decisions": [len(fit.tokens), len(test.tokens)],
        "right": [round(float(share), 4) for share in right.mean(axis=0)],
        "right_up_to": [round(float(share), 4) for share in np.cumprod(right, axis=1).mean(axis=0)],
        "commonest": [round(_commonest(*both), 4) for both in zip(fit.tokens.T[1:], test.tokens.T[1:], strict=True)],
    }
    return FittedDraft(tensors, measured)


def guesses(
    tensors: dict[str, npt.NDArray[np.float32]], states: npt.NDArray[np.float32], first: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """What the head guesses, indices (N, K - 1), in double."""
    t = {name: value.astype(np.float64) for name, value in tensors.items()}
    z = np.maximum(states.astype(np.float64) @ t["up.weight"].T + t["first.weight"][first] + t["up.bias"], 0)
    scores = z @ t["down.weight"].T + t["down.bias"]
    result: npt.NDArray[np.int64] = scores.reshape(len(states), -1, len(t["first.weight"])).argmax(axis=2)
    return result


def _commonest(fit: npt.NDArray[np.int64], test: npt.NDArray[np.int64]) -> float:
    """How often the token that is said most is right: what needs no head."""
    return float((test == np.bincount(fit).argmax()).mean())


def _fit_weights(said: Said, choices: int, recipe: DraftRecipe) -> dict[str, npt.NDArray[np.float32]]:
    """The network, fitted on standardised states; standardising is folded into its first layer."""
    mean, deviation = said.states.mean(axis=0), said.states.std(axis=0) + 1e-6
    x, y = torch.from_numpy((said.states - mean) / deviation), torch.from_numpy(said.tokens)
    rest = y.shape[1] - 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        up, down = torch.nn.Linear(x.shape[1], recipe.units), torch.nn.Linear(recipe.units, rest * choices)
        first = torch.nn.Embedding(choices, recipe.units)
        torch.nn.init.normal_(first.weight, std=0.1)
        drawn = [torch.randint(len(x), (recipe.batch,)) for _ in range(recipe.steps)]
    parameters = [*up.parameters(), *down.parameters(), *first.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    for rows in drawn:
        z = torch.relu(up(x[rows]) + first(y[rows, 0]))
        scores = down(z).reshape(-1, choices)
        loss = torch.nn.functional.cross_entropy(scores, y[rows, 1:].reshape(-1))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        rate.step()
    weight, bias = (value.detach().numpy().astype(np.float64) for value in (up.weight, up.bias))
    folded = weight / deviation
    return {
        "up.weight": folded.astype(np.float32),
        "up.bias": (bias - folded @ mean).astype(np.float32),
        "first.weight": first.weight.detach().numpy().copy(),
        "down.weight": down.weight.detach().numpy().copy(),
        "down.bias": down.bias.detach().numpy().copy(),
    }
