"""How a session is held against transformers: the error of its logits, and its tokens where the choice is clear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from checkpoints import ACT, END, FOLLOW, THINK
from conftest import Opened
from numpy.typing import NDArray
from reference import Choice, Decoding, greedy, reference_logits

from hyt.runtime import _core

# Largest difference of a logit, as a share of the largest logit.
F32_BOUND = 1e-3  # what the contract between the two implementations asks for
F32_MEASURED_BOUND = 2e-5  # what float32 rounding explains here (measured: 1e-6)
GELU_TABLE_BOUND = 2e-3  # ggml's own GELU reads a float16 table (measured: 3e-4)
F16_CACHE_BOUND = 5e-3  # keys and values rounded to float16
INT8_ACTIVATIONS_BOUND = 0.06  # ggml multiplies quantised weights with activations rounded to 8 bits


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


def compare_greedy(opened: Opened, session: _core.Session, prefixes: int) -> int:
    """Act, think and follow say the tokens of the reference's greedy loop; returns how many were compared."""
    compared = 0
    case = opened.case
    actions = case.contract["action"]["token_ids"]
    suppressed = set(case.contract["thought"]["suppressed_ids"])
    words = [i for i in range(case.shape.vocab_size) if i not in suppressed]
    for prefix in range(prefixes):
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
    return compared
