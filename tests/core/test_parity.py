"""The core says what transformers says: the same logits, and the same tokens in act, think and follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from checkpoints import ACT, AWKWARD, DEFAULT, END, FOLLOW, THINK, WIDE
from conftest import SHAPES, Opened
from gguf import GGMLQuantizationType
from numpy.typing import NDArray
from reference import Choice, Decoding, greedy, reference_logits

from hyt.runtime import _core

# Largest difference of a logit, as a share of the largest logit.
F32_BOUND = 1e-3  # what the contract between the two implementations asks for
F32_MEASURED_BOUND = 2e-5  # what float32 rounding explains here (measured: 1e-6)
GELU_TABLE_BOUND = 2e-3  # ggml's own GELU reads a float16 table (measured: 3e-4)
F16_CACHE_BOUND = 5e-3  # keys and values rounded to float16
INT8_ACTIVATIONS_BOUND = 0.06  # ggml multiplies quantised weights with activations rounded to 8 bits

Open = Callable[..., Opened]
# Of the reference's own reader; f32 is multiplied as it is.
TYPES = [
    name for name in _core.quantization_types() if name != "f32" and name.upper() in GGMLQuantizationType.__members__
]


def relative_error(core: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    return float(np.abs(core - reference).max() / np.abs(reference).max())


def fed_tokens(opened: Opened, seed: int, count: int = 10) -> list[int]:
    rng = np.random.default_rng(seed)
    return [ACT, *rng.integers(6, opened.case.shape.tokenizer_size, count - 1).tolist()]


def logit_error(opened: Opened, session: _core.Session, seed: int, text_tokens: int, count: int = 10) -> float:
    """Worst relative error at `count` teacher-forced positions."""
    layout, tokens = opened.case.layout(seed, text_tokens), fed_tokens(opened, seed, count)
    logits = session.logits(layout, opened.case.images, np.array(tokens, np.int32))
    reference = reference_logits(opened.case, layout, tokens)
    assert logits.shape == reference.shape
    return relative_error(logits, reference)


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


def measured_error(opened: Opened, session: _core.Session, layout: NDArray[np.int32]) -> float:
    """Largest difference of a logit, teacher forced behind this prefix."""
    tokens = fed_tokens(opened, int(layout.sum()) % 1000)
    logits = session.logits(layout, opened.case.images, np.array(tokens, np.int32))
    return float(np.abs(logits - reference_logits(opened.case, layout, tokens)).max())


def same_where_clear(received: Sequence[int], choices: Sequence[Choice], error: float) -> int:
    """Tokens agree up to the first choice closer than twice the logit error; returns how many were compared."""
    for i, choice in enumerate(choices):
        if choice.margin <= 2 * error:
            return i
        assert received[i] == choice.token
    assert len(received) == len(choices)
    return len(choices)


@pytest.mark.parametrize("name", SHAPES)
def test_act_think_and_follow_say_the_tokens_of_the_greedy_loop(open_case: Open, name: str) -> None:
    compared = 0
    for seed in (1, 2):
        opened = open_case(SHAPES[name], seed)
        case, session = opened.case, opened.session()
        actions = case.contract["action"]["token_ids"]
        count = session.info()["cells"]
        assert isinstance(count, int)
        suppressed = set(case.contract["thought"]["suppressed_ids"])
        words = [i for i in range(case.shape.vocab_size) if i not in suppressed]
        for prefix in range(3):
            layout, other = case.layout(prefix, 5 + prefix), case.layout(50 + prefix, 4)
            error = max(measured_error(opened, session, at) for at in (layout, other))
            session.observe(case.images, layout)
            act = session.act(ACT)
            expected = greedy(Decoding(case, layout), ACT, actions, len(act.tokens))
            compared += same_where_clear(act.tokens.tolist(), expected, error)

            follow = session.follow(other, FOLLOW)
            expected = greedy(Decoding(case, other), FOLLOW, actions, len(follow.tokens))
            compared += same_where_clear(follow.tokens.tolist(), expected, error)

            session.think_begin(THINK)
            thought = session.think()
            assert thought.finished
            decoding = Decoding(case, layout)
            longest = case.contract["thought"]["max_tokens"]
            expected = greedy(decoding, THINK, words, longest, END)
            ended = expected[-1].token == END
            received = [*thought.tokens.tolist(), *([END] if ended else [])]
            agreed = same_where_clear(received, expected, error)
            compared += agreed
            if agreed == len(expected):
                if not ended:
                    decoding.feed(expected[-1].token)
                after = session.act_after_thought()
                expected = greedy(decoding, END, actions, len(after.tokens))
                compared += same_where_clear(after.tokens.tolist(), expected, error)
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
