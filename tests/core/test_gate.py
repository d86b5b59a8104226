"""The gate in the core: it judges what transformers computes, says what NumPy says, repeats, and refuses damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import ACT, AWKWARD, DEFAULT, FOLLOW, THINK, make_gate
from conftest import Opened
from numpy.typing import NDArray
from reference import Case, Decoding

from hyt.runtime import _core

STATE_BOUND = 2e-5
"""Largest difference of a hidden value, as a share of the largest; float32 sums in another order."""

PROBABILITY_BOUND = 1e-6
"""Largest difference of a probability; the core's sums are in double, only the result is float32."""

Open = Callable[..., Opened]


@pytest.fixture
def opened(open_case: Open) -> Opened:
    return open_case(AWKWARD, 1)


def reference_state(case: Case, layout: NDArray[np.int32]) -> NDArray[np.float32]:
    """transformers' last hidden state at the act tag, which its logits are computed from."""
    decoding = Decoding(case, layout)
    seen: list[torch.Tensor] = []
    handle = case.model.lm_head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    decoding.feed(ACT)
    handle.remove()
    return seen[0][0, -1].numpy()


def probability(gate: dict[str, torch.Tensor], state: NDArray[np.float32]) -> float:
    """The gate in NumPy, in double."""
    up, up_bias, down, down_bias = (
        gate[name].numpy().astype(np.float64) for name in ("up.weight", "up.bias", "down.weight", "down.bias")
    )
    logit = down @ np.maximum(up @ state + up_bias, 0) + down_bias[0]
    return float(1 / (1 + np.exp(-logit)))


@pytest.mark.parametrize("text_tokens", [1, 6, 17])
def test_the_state_it_judges_is_that_of_transformers_at_the_act_tag(opened: Opened, text_tokens: int) -> None:
    session, layout = opened.session(), opened.case.layout(3, text_tokens)
    assert session.act_state().size == 0
    session.observe(opened.case.images, layout)
    session.act(ACT)
    expected = reference_state(opened.case, layout)
    assert np.abs(session.act_state() - expected).max() < STATE_BOUND * np.abs(expected).max()


def test_its_probability_is_that_of_numpy(opened: Opened, tmp_path: Path) -> None:
    gate = make_gate(replace(AWKWARD, gate_units=16))
    session = opened.gated_session(tmp_path, gate)
    said = []
    for seed in range(12):
        session.observe(opened.case.images, opened.case.layout(seed, 6))
        act = session.act(ACT)
        assert act.think_probability == pytest.approx(probability(gate, session.act_state()), abs=PROBABILITY_BOUND)
        said.append(act.think_probability)
    assert max(said) - min(said) > 0.1  # the gates of this test do judge


def test_it_repeats_bit_by_bit_and_costs_no_pass_and_changes_no_action(opened: Opened, tmp_path: Path) -> None:
    gate = make_gate(replace(AWKWARD, gate_units=16))
    layout = opened.case.layout(0, 6)
    plain, session = opened.session(), opened.gated_session(tmp_path, gate)
    for each in (plain, session):
        each.observe(opened.case.images, layout)
    expected, first = plain.act(ACT), session.act(ACT)
    assert session.info()["action_passes"] == plain.info()["action_passes"]
    session.think_begin(THINK)
    session.think()
    again = session.act(ACT)
    assert first.think_probability == again.think_probability
    assert expected.think_probability is None
    assert np.array_equal(first.probabilities, expected.probabilities)


def test_only_act_asks_it(opened: Opened, tmp_path: Path) -> None:
    session = opened.gated_session(tmp_path, make_gate(replace(AWKWARD, gate_units=3)))
    session.observe(opened.case.images, opened.case.layout(0, 6))
    session.act(ACT)
    state = session.act_state()
    session.think_begin(THINK)
    session.think()
    assert session.act_after_thought().think_probability is None
    assert session.follow(opened.case.layout(1, 4), FOLLOW).think_probability is None
    assert np.array_equal(session.act_state(), state)


@pytest.mark.parametrize(("bias", "end"), [(1e4, 1.0), (-1e4, 0.0)])
def test_it_is_never_quite_certain(opened: Opened, tmp_path: Path, bias: float, end: float) -> None:
    """So that a threshold of 0 means always and one of 1 never."""
    gate = make_gate(replace(AWKWARD, gate_units=3)) | {"down.bias": torch.tensor([bias])}
    session = opened.gated_session(tmp_path, gate)
    session.observe(opened.case.images, opened.case.layout(0, 6))
    said = session.act(ACT).think_probability
    assert said is not None
    assert said != end
    assert said == pytest.approx(end, abs=1e-6)


def test_a_gate_of_another_shape_or_with_nan_is_refused(open_case: Open, tmp_path: Path) -> None:
    opened, gate = open_case(DEFAULT, 0), make_gate(replace(DEFAULT, gate_units=4))
    damaged = {
        "gate.up.weight; expected (64, 4); received (63, 4)": {"up.weight": gate["up.weight"][:, 1:].clone()},
        "gate.down.weight; expected (4); received (3)": {"down.weight": gate["down.weight"][1:].clone()},
        "gate.up.bias; expected finite weights": {"up.bias": torch.tensor([0.0, float("nan"), 0.0, 0.0])},
        "gate.down.bias; expected type f32; received f16": {"down.bias": gate["down.bias"].half()},
    }
    for expected, change in damaged.items():
        with pytest.raises(_core.CoreError) as caught:
            opened.gated_session(tmp_path, gate | change)
        assert expected in str(caught.value)
    del gate["down.bias"]
    with pytest.raises(_core.CoreError, match=r"gate.down.bias; expected \(1\); received no such tensor"):
        opened.gated_session(tmp_path, gate)
