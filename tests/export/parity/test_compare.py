"""The comparison of two policies' answers against the definitions of its figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkpoints import make_contract

from hyt.export.parity import Answer, Parity, compare, divergence
from hyt.export.parity.compare import SURE
from hyt.runtime.statistics import clustered_interval

DIMENSIONS = make_contract().action.dimensions
NONE = np.zeros(0, np.int32)


def answer(seed: int, thought: np.ndarray = NONE, *, tokens: bool = True) -> Answer:
    random = np.random.default_rng(seed)
    return Answer(
        values=random.uniform(-0.5, 0.5, (2, 4)).astype(np.float32),
        tokens=random.integers(0, 3, 8, dtype=np.int32) if tokens else None,
        thought=thought,
        logits=random.normal(0, 3, (8, 5)).astype(np.float32) if tokens else None,
    )


def test_equal_answers_agree_wholly_and_have_no_error() -> None:
    answers = {"act": [answer(0), answer(1)]}
    parity = compare(answers, answers, DIMENSIONS)["act"]
    assert (parity.agreement, parity.logit_error_largest, parity.divergence) == (1.0, 0.0, 0.0)
    assert parity.equal_thoughts is None
    assert all(error.largest == 0 for error in parity.actions)


def test_the_figures_are_those_of_their_definitions() -> None:
    ours = [answer(0, np.array([1, 2], np.int32)), answer(1, np.array([3], np.int32))]
    theirs = [answer(2, np.array([1, 2], np.int32)), answer(3, np.array([3, 4], np.int32))]
    parity = compare({"think": ours}, {"think": theirs}, DIMENSIONS)["think"]
    pairs = list(zip(ours, theirs, strict=True))
    same = sum(int(a == b) for x, y in pairs for a, b in zip(x.tokens, y.tokens, strict=True))  # type: ignore[arg-type]
    assert (parity.observations, parity.action_tokens, parity.agreeing) == (2, 16, same)
    assert parity.agreement == same / 16
    parts = [float(np.mean(x.tokens == y.tokens)) for x, y in pairs]
    assert parity.interval == clustered_interval(parts)
    assert parity.equal_thoughts == 0.5
    assert parity.same_thought == parts[0]
    apart = [np.diff(np.sort(row)[-2:])[0] > SURE for x in ours for row in x.logits]  # type: ignore[union-attr]
    equal = [a == b for x, y in pairs for a, b in zip(x.tokens, y.tokens, strict=True)]  # type: ignore[arg-type]
    assert 0 < sum(apart) < len(apart)
    assert parity.sure == pytest.approx(np.mean([e for e, sure in zip(equal, apart, strict=True) if sure]))
    logits = [(torch.from_numpy(x.logits), torch.from_numpy(y.logits)) for x, y in pairs]
    expected = [
        torch.nn.functional.kl_div(y.log_softmax(1), x.log_softmax(1), log_target=True, reduction="batchmean")
        for x, y in logits
    ]
    assert parity.divergence == pytest.approx(float(sum(expected)) / 2, rel=1e-5)
    assert divergence({"think": ours}, {"think": theirs}) == pytest.approx(parity.divergence)
    assert parity.logit_error_largest == pytest.approx(max(float((x - y).abs().max()) for x, y in logits))
    apart = np.concatenate([np.abs(x.values - y.values) for x, y in pairs])
    assert [error.mean for error in parity.actions] == pytest.approx(apart.mean(axis=0).tolist(), rel=1e-5)
    assert (parity.actions[3].name, parity.actions[3].unit) == ("gripper", "1")


def test_a_continuous_policy_has_action_errors_and_no_agreement() -> None:
    ours, theirs = {"act": [answer(0, tokens=False)]}, {"act": [answer(1, tokens=False)]}
    parity = compare(ours, theirs, DIMENSIONS)
    assert (parity["act"].agreement, parity["act"].divergence, parity["act"].action_tokens) == (None, None, 0)
    assert (parity["act"].interval, parity["act"].sure, parity["act"].same_thought) == (None, None, None)
    assert parity["act"].actions[0].mean > 0
    assert Parity("core", "q4_0", parity).agreement is None
    assert divergence(ours, theirs) == pytest.approx(
        float(np.square(ours["act"][0].values - theirs["act"][0].values).mean())
    )


def test_a_modality_without_answers_is_left_out_and_the_lowest_agreement_counts() -> None:
    good, bad = answer(0), answer(1)
    parity = Parity("core", "q4_0", compare({"act": [good], "think": [good], "follow": []},
                                            {"act": [good], "think": [bad], "follow": []}, DIMENSIONS))  # fmt: skip
    assert set(parity.modalities) == {"act", "think"}
    assert parity.agreement == parity.modalities["think"].agreement < 1
    assert parity.data()["modalities"]["act"]["agreement"] == 1.0
