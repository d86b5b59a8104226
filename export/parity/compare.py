"""How far a policy's answers are from the reference's: logits, action tokens, actions in the robot's units.

agreement:  part of the action tokens that are the reference's, each policy decoding by itself, with a 95% interval that
            counts the tokens of one observation as going together; `sure`: of the tokens whose two best logits are
            further apart than `SURE` in the reference; `same_thought`: of those behind equal thoughts
logits:     error of the action ids' logits where both are fed the reference's tokens, and the mean Kullback-Leibler
            divergence of their softmax from the reference's, in nats
actions:    mean and largest absolute difference of each dimension, in its unit
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyt.export.parity.answers import Answer, Answers
from hyt.runtime.contract import ActionDimension
from hyt.runtime.statistics import clustered_interval

SURE = 0.25
"""A reference whose two best logits are nearer to each other than this has all but tossed a coin."""


@dataclass(frozen=True)
class DimensionError:
    """Absolute difference of one action dimension in its unit."""

    name: str
    unit: str
    mean: float
    largest: float


@dataclass(frozen=True)
class ModalityParity:
    """One modality's comparison; what a continuous policy or an engine without logits has not is None.

    action_tokens, agreeing: counted; equal_thoughts: part of the thoughts that are the reference's, token by token
    """

    observations: int
    action_tokens: int
    agreeing: int
    agreement: float | None
    interval: tuple[float, float] | None
    sure: float | None
    same_thought: float | None
    equal_thoughts: float | None
    logit_error_mean: float | None
    logit_error_largest: float | None
    divergence: float | None
    actions: tuple[DimensionError, ...]


@dataclass(frozen=True)
class Parity:
    """One policy against the reference: the engine that ran it, what it is, and each modality's comparison."""

    backend: str
    quantization: str
    modalities: dict[str, ModalityParity]

    @property
    def agreement(self) -> float | None:
        """The lowest agreement of all modalities; None of a continuous policy."""
        values = [m.agreement for m in self.modalities.values() if m.agreement is not None]
        return min(values, default=None)

    def data(self) -> dict[str, Any]:
        """Plain data for JSON, rounded to what means something."""
        return {**_rounded(asdict(self)), "agreement": _rounded(self.agreement)}


def compare(reference: Answers, answers: Answers, dimensions: Sequence[ActionDimension]) -> dict[str, ModalityParity]:
    """Each modality of which there are answers; both must be answers to the same samples."""
    return {name: _modality(reference[name], answers[name], dimensions) for name in reference if reference[name]}


def divergence(reference: Answers, answers: Answers) -> float:
    """Mean Kullback-Leibler divergence over all modalities, or, of a continuous policy, mean squared action error."""
    pairs = [pair for name in reference for pair in zip(reference[name], answers[name], strict=True)]
    values = [
        np.square(theirs.values.astype(np.float64) - ours.values).mean()
        if ours.logits is None or theirs.logits is None
        else _divergences(ours.logits, theirs.logits).mean()
        for ours, theirs in pairs
    ]
    return float(np.mean(values))


def _modality(reference: list[Answer], answers: list[Answer], dimensions: Sequence[ActionDimension]) -> ModalityParity:
    pairs = list(zip(reference, answers, strict=True))
    tokens = [(a.tokens, b.tokens) for a, b in pairs if a.tokens is not None and b.tokens is not None]
    logits = [(a.logits, b.logits) for a, b in pairs if a.logits is not None and b.logits is not None]
    total = sum(len(a) for a, _ in tokens)
    agreeing = sum(int((a == b).sum()) for a, b in tokens)
    parts = [float((a == b).mean()) for a, b in tokens]
    thoughts = [np.array_equal(a.thought, b.thought) for a, b in pairs if len(a.thought) or len(b.thought)]
    errors = np.concatenate([np.abs(a - b).ravel() for a, b in logits]) if logits else None
    differences = np.concatenate([np.abs(a.values.astype(np.float64) - b.values) for a, b in pairs])
    return ModalityParity(
        observations=len(pairs),
        action_tokens=total,
        agreeing=agreeing,
        agreement=agreeing / total if total else None,
        interval=clustered_interval(parts) if parts else None,
        sure=_sure(reference, answers),
        same_thought=_same_thought(pairs),
        equal_thoughts=float(np.mean(thoughts)) if thoughts else None,
        logit_error_mean=None if errors is None else float(errors.mean()),
        logit_error_largest=None if errors is None else float(errors.max()),
        divergence=float(np.mean([_divergences(a, b).mean() for a, b in logits])) if logits else None,
        actions=tuple(
            DimensionError(d.name, d.unit, float(column.mean()), float(column.max()))
            for d, column in zip(dimensions, differences.T, strict=True)
        ),
    )


def _sure(reference: list[Answer], answers: list[Answer]) -> float | None:
    """Agreement on the tokens of which the reference is sure; None where there are none, or it gave no logits."""
    equal: list[NDArray[np.bool_]] = []
    for ours, theirs in zip(reference, answers, strict=True):
        if ours.tokens is not None and theirs.tokens is not None and ours.logits is not None:
            best = np.sort(ours.logits, axis=1)
            equal.append((ours.tokens == theirs.tokens)[best[:, -1] - best[:, -2] > SURE])
    told = np.concatenate(equal) if equal else np.zeros(0, np.bool_)
    return float(told.mean()) if len(told) else None


def _same_thought(pairs: list[tuple[Answer, Answer]]) -> float | None:
    """Agreement behind thoughts that are equal token by token; None without such thoughts."""
    parts = [
        float((a.tokens == b.tokens).mean())
        for a, b in pairs
        if a.tokens is not None and b.tokens is not None and len(a.thought) and np.array_equal(a.thought, b.thought)
    ]
    return float(np.mean(parts)) if parts else None


def _divergences(reference: NDArray[np.float32], logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Kullback-Leibler divergence of each position, in nats, from logits (positions, ids)."""
    p, q = _log_softmax(reference), _log_softmax(logits)
    result: NDArray[np.float64] = (np.exp(p) * (p - q)).sum(axis=1)
    return result


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
