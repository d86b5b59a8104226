"""A continuous policy in the core: the numbers that transformers and the action head's formula give, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from action_heads import Head, random_head
from checkpoints import ACT, AWKWARD, DEFAULT, END, FOLLOW, THINK
from conftest import SHAPES, Opened
from continuous_reference import causal_chunk, reference_chunk, write_head
from language_model import causal_model
from model_gguf import write_gguf
from numpy.typing import NDArray

from hyt.runtime import _core

# Largest difference of a number, as a share of the largest number.
F32_BOUND = 2e-5  # float32 rounding (measured: 4e-6)
GELU_TABLE_BOUND = 3e-3  # ggml's own GELU reads a float16 table (measured: 3e-4)
INT8_ACTIVATIONS_BOUND = 0.1  # ggml multiplies quantised weights with activations rounded to 8 bits (measured: 0.054)
HEAD_F16_BOUND = 2e-3  # products with a float16 matrix round activations to float16 (measured: 6e-4)

Open = Callable[..., Opened]
CHUNKS = {"one": (1, 1), "odd": (3, 5), "arm": (8, 4), "long": (25, 7)}  # steps, dimensions


def continuous(opened: Opened, head: Head, path: str, **changes: object) -> _core.Session:
    settings = {"head": path, "action_steps": head.steps, "action_dimensions": head.dimensions}
    return opened.session(action_tokens=0, action_token_ids=[], **{**settings, **changes})


def relative_error(core: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    assert core.shape == reference.shape
    return float(np.abs(core - reference).max() / np.abs(reference).max())


def act_error(opened: Opened, head: Head, session: _core.Session, seed: int, text_tokens: int) -> float:
    layout = opened.case.layout(seed, text_tokens)
    session.observe(opened.case.images, layout)
    result = session.act(ACT)
    assert result.tokens.size == result.probabilities.size == 0
    return relative_error(result.values, reference_chunk(opened.case, head, layout, [ACT]))


def head_for(opened: Opened, chunk: str, **changes: int) -> Head:
    steps, dimensions = CHUNKS[chunk]
    return random_head(opened.case.shape.hidden, steps=steps, dimensions=dimensions, seed=3, **changes)


def roomy(name: str) -> object:
    """A shape with room for the longest chunk."""
    return replace(SHAPES[name], context=512)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("name", SHAPES)
def test_act_gives_the_numbers_of_transformers(open_case: Open, tmp_path: Path, name: str, chunk: str) -> None:
    opened = open_case(roomy(name), 1)
    head = head_for(opened, chunk)
    path = write_head(head, tmp_path / "head.gguf")
    session = continuous(opened, head, path)
    for text_tokens in (1, 17):
        assert act_error(opened, head, session, 1, text_tokens) < F32_BOUND


@pytest.mark.parametrize(("width", "blocks"), [(1, 0), (33, 1), (96, 5)])
def test_a_head_may_have_any_width_and_depth(open_case: Open, tmp_path: Path, width: int, blocks: int) -> None:
    opened = open_case(AWKWARD, 1)
    head = head_for(opened, "odd", width=width, blocks=blocks)
    session = continuous(opened, head, write_head(head, tmp_path / "head.gguf"))
    assert act_error(opened, head, session, 2, 6) < F32_BOUND


@pytest.mark.parametrize("name", ["default", "grouped"])
def test_think_and_follow_give_the_numbers_behind_what_was_written(open_case: Open, tmp_path: Path, name: str) -> None:
    opened = open_case(SHAPES[name], 2)
    case, head = opened.case, head_for(opened, "odd")
    session = continuous(opened, head, write_head(head, tmp_path / "head.gguf"))
    layout, other = case.layout(0, 6), case.layout(50, 4)
    session.observe(case.images, layout)
    act = session.act(ACT).values
    session.think_begin(THINK)
    assert not session.think(max_steps=2).finished
    follow = session.follow(other, FOLLOW).values
    thought = session.think()
    assert thought.finished
    fed = [THINK, *thought.tokens.tolist(), END]
    after = session.act_after_thought().values
    assert relative_error(after, reference_chunk(case, head, layout, fed)) < F32_BOUND
    assert relative_error(follow, reference_chunk(case, head, other, [FOLLOW])) < F32_BOUND
    # Each leaves the others' state as it was: asked again, the same bits.
    np.testing.assert_array_equal(session.act_after_thought().values, after)
    np.testing.assert_array_equal(session.follow(other, FOLLOW).values, follow)
    np.testing.assert_array_equal(session.act(ACT).values, act)


def test_the_thought_is_the_one_of_a_policy_with_tokens(open_case: Open, tmp_path: Path) -> None:
    opened = open_case(DEFAULT, 1)
    head = head_for(opened, "arm")
    thoughts = []
    for session in (opened.session(), continuous(opened, head, write_head(head, tmp_path / "head.gguf"))):
        session.observe(opened.case.images, opened.case.layout(1, 6))
        session.think_begin(THINK)
        thoughts.append(session.think().tokens.tolist())
    assert thoughts[0] == thoughts[1]


@pytest.mark.parametrize("chunk", ["one", "odd", "arm"])
@pytest.mark.parametrize("shape", [DEFAULT, AWKWARD])
def test_a_causal_context_gives_the_same(tmp_path: Path, shape: object, chunk: str) -> None:
    model = causal_model(shape, 4)  # type: ignore[arg-type]
    steps, dimensions = CHUNKS[chunk]
    head = random_head(model.config.hidden_size, steps=steps, dimensions=dimensions, seed=5)
    session = _core.Session(
        write_gguf(model, tmp_path).language,
        "",
        threads=1,
        image_count=0,
        max_text_tokens=1,
        max_thought_tokens=9,
        action_tokens=0,
        action_token_ids=[],
        thought_suppressed_ids=[],
        thought_end_id=END,
        head=write_head(head, tmp_path / "head.gguf"),
        action_steps=steps,
        action_dimensions=dimensions,
    )
    session.observe([], np.array([11], np.int32))  # one token is a prefix that no direction changes
    assert relative_error(session.act(ACT).values, causal_chunk(model, head, [11, ACT])) < F32_BOUND
    session.think_begin(THINK)
    fed = [11, THINK, *session.think().tokens.tolist(), END]
    assert len(fed) > 5
    assert relative_error(session.act_after_thought().values, causal_chunk(model, head, fed)) < F32_BOUND


@pytest.mark.parametrize("chunk", ["odd", "arm"])
def test_ggml_operators_alone_are_as_exact_as_their_gelu_table(open_case: Open, tmp_path: Path, chunk: str) -> None:
    opened = open_case(AWKWARD, 1)
    head = head_for(opened, chunk)
    session = continuous(opened, head, write_head(head, tmp_path / "head.gguf"), own_kernels=False)
    assert act_error(opened, head, session, 1, 6) < GELU_TABLE_BOUND


def test_two_threads_say_the_same_as_one(open_case: Open, tmp_path: Path) -> None:
    opened = open_case(AWKWARD, 1)
    head = head_for(opened, "one")
    session = continuous(opened, head, write_head(head, tmp_path / "head.gguf"), threads=2)
    # One answer: on a busy machine two threads wait long for each other.
    assert act_error(opened, head, session, 1, 6) < F32_BOUND


@pytest.mark.parametrize("quantize", ["q4_0", "q8_0"])
def test_quantised_weights_give_the_numbers_of_the_dequantised(open_case: Open, tmp_path: Path, quantize: str) -> None:
    opened = open_case(DEFAULT, 3, quantize)
    head = head_for(opened, "arm")
    session = continuous(opened, head, write_head(head, tmp_path / "head.gguf"))
    errors = [act_error(opened, head, session, seed, 9) for seed in range(3)]
    assert 0 < max(errors) < INT8_ACTIVATIONS_BOUND


@pytest.mark.parametrize(("quantize", "bound"), [("f16", HEAD_F16_BOUND), ("q8_0", INT8_ACTIVATIONS_BOUND)])
def test_a_smaller_head_costs_its_rounding(open_case: Open, tmp_path: Path, quantize: str, bound: float) -> None:
    opened = open_case(DEFAULT, 1)
    head = head_for(opened, "arm", width=64)
    session = continuous(opened, head, write_head(head, tmp_path / "head.gguf", quantize))
    assert F32_BOUND < act_error(opened, head, session, 1, 6) < bound


def test_a_chunk_is_one_pass_and_no_token_is_decoded(open_case: Open, tmp_path: Path) -> None:
    opened = open_case(DEFAULT, 1)
    head = head_for(opened, "arm")
    session = continuous(opened, head, write_head(head, tmp_path / "head.gguf"))
    session.observe(opened.case.images, opened.case.layout(0, 6))
    for _ in range(3):
        session.act(ACT)
    info = session.info()
    assert (info["chunk_passes"], info["action_passes"], info["vocabulary_passes"]) == (3, 0, 0)


REFUSALS = {
    "another number of steps": ({"action_steps": 4}, "expected 4 and 5; received 3 and 5"),
    "another number of dimensions": ({"action_dimensions": 4}, "expected 3 and 4; received 3 and 5"),
    "no head": ({"head": ""}, "head; expected the head.gguf of a continuous policy; received none"),
    "action tokens too": ({"action_tokens": 8}, "action_tokens; expected 0 to 0; received 8"),
    "action token ids too": ({"action_token_ids": [50]}, "number of action token ids; expected 0 to 0; received 1"),
    "steps without dimensions": ({"action_dimensions": 0}, "action_dimensions; expected 1 to"),
    "dimensions without steps": ({"action_steps": 0, "action_tokens": 8, "action_token_ids": [50]}, "expected 0 to 0"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_does_not_fit_a_continuous_policy_is_refused(open_case: Open, tmp_path: Path, case: str) -> None:
    opened = open_case(AWKWARD, 1)
    head = head_for(opened, "odd")
    path = write_head(head, tmp_path / "head.gguf")
    changes, line = REFUSALS[case]
    settings = {"action_tokens": 0, "action_token_ids": [], "head": path, "action_steps": 3, "action_dimensions": 5}
    with pytest.raises(_core.CoreError) as error:
        opened.session(**{**settings, **changes})  # type: ignore[arg-type]
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_head_of_another_width_is_refused(open_case: Open, tmp_path: Path) -> None:
    opened = open_case(AWKWARD, 1)
    head = random_head(60, steps=3, dimensions=5)
    with pytest.raises(_core.CoreError, match="hidden; expected the decoder's width 52; received 60"):
        continuous(opened, head, write_head(head, tmp_path / "head.gguf"))


def test_numbers_that_are_not_finite_are_refused(open_case: Open, tmp_path: Path) -> None:
    opened = open_case(DEFAULT, 1)
    head = head_for(opened, "odd")
    head.tensors["output.linear.bias"][2] = float("nan")
    session = continuous(opened, head, write_head(head, tmp_path / "head.gguf"))
    session.observe(opened.case.images, opened.case.layout(0, 6))
    with pytest.raises(_core.CoreError, match="action; expected finite values; received NaN or infinity"):
        session.act(ACT)


def test_a_window_that_would_cut_a_chunk_is_refused(tmp_path: Path, open_case: Open) -> None:
    opened = open_case(replace(DEFAULT, sliding_window=60), 1)
    opened.session(max_text_tokens=20)
    head = head_for(opened, "long")
    with pytest.raises(_core.CoreError, match="sliding window; expected at least all positions of a continuous"):
        continuous(opened, head, write_head(head, tmp_path / "head.gguf"))
