"""The core says what transformers says: the same logits, and the same tokens in act, think and follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from against_reference import (
    F16_CACHE_BOUND,
    F32_BOUND,
    F32_MEASURED_BOUND,
    GELU_TABLE_BOUND,
    INT8_ACTIVATIONS_BOUND,
    compare_greedy,
    fed_tokens,
    logit_error,
    relative_error,
)
from checkpoints import ACT, AWKWARD, DEFAULT, WIDE
from conftest import SHAPES, Opened
from gguf import GGMLQuantizationType
from reference import reference_logits

from hyt.runtime import _core

Open = Callable[..., Opened]
# Of the reference's own reader; f32 is multiplied as it is.
TYPES = [
    name for name in _core.quantization_types() if name != "f32" and name.upper() in GGMLQuantizationType.__members__
]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", SHAPES)
def test_float_logits_are_those_of_transformers(open_case: Open, name: str, seed: int) -> None:
    opened = open_case(SHAPES[name], seed)
    session = opened.session()
    for text_tokens in (1, 6, 17):
        error = logit_error(opened, session, seed, text_tokens)
        assert error < F32_MEASURED_BOUND <= F32_BOUND


def test_images_may_stand_anywhere_in_the_prefix(open_case: Open) -> None:
    opened = open_case(AWKWARD, 1)
    layout = np.array([11, 12, -2, 13, -1, 14], np.int32)
    tokens = fed_tokens(opened, 0)
    logits = opened.session().logits(layout, opened.case.images, np.array(tokens, np.int32))
    assert relative_error(logits, reference_logits(opened.case, layout, tokens)) < F32_MEASURED_BOUND


def test_two_threads_say_the_same_as_one(open_case: Open) -> None:
    opened = open_case(AWKWARD, 1)
    # Few positions: on a busy machine two threads wait long for each other.
    assert logit_error(opened, opened.session(threads=2), 1, 6, count=2) < F32_MEASURED_BOUND


def test_ggml_operators_alone_are_as_exact_as_their_gelu_table(open_case: Open) -> None:
    opened = open_case(AWKWARD, 1)
    assert logit_error(opened, opened.session(own_kernels=False), 1, 6) < GELU_TABLE_BOUND


@pytest.mark.parametrize("own_kernels", [True, False])
def test_a_float16_cache_costs_float16_rounding(open_case: Open, own_kernels: bool) -> None:
    opened = open_case(AWKWARD, 1)
    error = logit_error(opened, opened.session(kv_type="f16", own_kernels=own_kernels), 1, 6)
    assert error < F16_CACHE_BOUND


@pytest.mark.parametrize("quantize", ["q4_0", "q8_0", "q4_k"])
def test_quantised_logits_are_those_of_the_dequantised_weights(open_case: Open, quantize: str) -> None:
    opened = open_case(WIDE if quantize == "q4_k" else DEFAULT, 3, quantize)
    session = opened.session()
    errors = [logit_error(opened, session, seed, 9) for seed in range(3)]
    assert 0 < max(errors) < INT8_ACTIVATIONS_BOUND


@pytest.mark.parametrize("quantize", TYPES)
def test_with_float32_activations_only_float32_is_rounded(open_case: Open, quantize: str) -> None:
    opened = open_case(WIDE if _core.quantization_block(quantize) > 32 else DEFAULT, 3, quantize)
    for own_kernels in (True, False):
        session = opened.session(activations="float32", own_kernels=own_kernels, threads=1 + own_kernels)
        bound = F32_MEASURED_BOUND if own_kernels else GELU_TABLE_BOUND
        assert max(logit_error(opened, session, seed, 9) for seed in range(2)) < bound


@pytest.mark.parametrize("name", SHAPES)
def test_act_think_and_follow_say_the_tokens_of_the_greedy_loop(open_case: Open, name: str) -> None:
    compared = 0
    for seed in (1, 2):
        opened = open_case(SHAPES[name], seed)
        compared += compare_greedy(opened, opened.session(), prefixes=3)
    assert compared > 100


def test_probabilities_are_the_softmax_over_the_action_tokens(open_case: Open) -> None:
    opened = open_case(DEFAULT, 1)
    case, session = opened.case, opened.session()
    layout = case.layout(0, 6)
    session.observe(case.images, layout)
    act = session.act(ACT)
    actions = case.contract["action"]["token_ids"]
    logits = reference_logits(case, layout, [ACT, *act.tokens[:-1].tolist()])[:, actions].astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(act.probabilities, shares.max(axis=1), rtol=1e-4)
