"""The loss is cross entropy with targets smoothed along ordered tokens, weighted, for each sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hyt.training.loss import SmoothedCrossEntropy, batch_loss
from hyt.training.packing import Sequence, continuation, pack

ORDERED = [list(range(10, 19)), [30, 28, 26, 24]]  # an ascending range, and ids in another order


def naive(logits: np.ndarray, target: int, ordered: list[list[int]], width: float) -> float:
    """Cross entropy of one position, term by term in float64."""
    log_probability = logits - logits.max()
    log_probability = log_probability - np.log(np.exp(log_probability).sum())
    for ids in ordered:
        if target in ids:
            near = [np.exp(-0.5 * ((place - ids.index(target)) / width) ** 2) for place in range(len(ids))]
            return -sum(p / sum(near) * log_probability[id] for p, id in zip(near, ids, strict=True))
    return -float(log_probability[target])


@pytest.mark.parametrize("width", [0.75, 2.0])
def test_it_equals_a_computation_term_by_term(width: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, (40, 40))
    losses = SmoothedCrossEntropy(ORDERED, width)(torch.from_numpy(logits).float(), torch.arange(40))
    expected = [naive(logits[target], target, ORDERED, width) for target in range(40)]
    np.testing.assert_allclose(losses.numpy(), expected, rtol=2e-5)


def test_without_width_it_is_plain_cross_entropy() -> None:
    logits, targets = torch.randn(40, 40, generator=torch.Generator().manual_seed(1)), torch.arange(40)
    losses = SmoothedCrossEntropy(ORDERED, 0.0)(logits, targets)
    torch.testing.assert_close(losses, torch.nn.functional.cross_entropy(logits, targets, reduction="none"))


def test_the_batch_loss_is_the_weighted_sum_for_each_sequence() -> None:
    first = Sequence([5], (continuation(6, [7, 8], [2.0, 0.5]),))
    second = Sequence([5, 5], (continuation(6, [9], [3.0]),))
    batch = pack([first, second], torch.zeros(2, 1, 3, 1, 1))
    losses = torch.tensor([1.0, 10.0, 100.0])
    assert float(batch_loss(losses, batch)) == pytest.approx((2.0 + 5.0 + 300.0) / 2)
