"""Speculation gives the tokens of the plain loop, whatever is guessed: on every family, in every modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import families
import numpy as np
import pytest
from checkpoints import ACT, AWKWARD, FOLLOW, THINK, WIDE, make_gate
from conftest import Opened
from guessed import check_same, facts
from numpy.typing import NDArray

from hyt.export.exporter import export_bundle
from hyt.runtime import _core
from hyt.runtime.bundle import open_bundle

Open = Callable[..., Opened]
Ids = NDArray[np.int32]

BLOCKS = replace(families.SMALL, intermediate=96)
"""Every row divides by 32, so all matrices are INT4 in strips."""

FAMILIES: dict[str, Callable[[Path], object]] = {
    "gemma": lambda path: families.write_paligemma(path, BLOCKS),
    "gemma2": lambda path: families.write_paligemma2(path, replace(BLOCKS, sliding_window=256)),
    "llama": lambda path: families.write_llava(path, "clip", "llama", BLOCKS),
    "qwen2": lambda path: families.write_llava(path, "siglip", "qwen2", BLOCKS),
    "qwen3": lambda path: families.write_llava(path, "siglip", "qwen3", BLOCKS),
}


def wrong(actions: list[int], right: Ids) -> Ids:
    """The action token behind each right one."""
    return np.array([actions[(actions.index(token) + 1) % len(actions)] for token in right.tolist()], np.int32)


def guesses(rng: np.random.Generator, actions: list[int], right: Ids) -> Iterator[Ids]:
    """All right, all wrong, right up to each position, one wrong at each, mixtures, and noise."""
    missed = wrong(actions, right)
    yield right
    yield missed
    for i in range(1, len(right)):
        yield np.concatenate([right[:i], missed[i:]])
        yield np.concatenate([right[: i - 1], missed[i - 1 : i], right[i:]])
    for share in (0.2, 0.5, 0.9):
        yield np.where(rng.random(len(right)) < share, right, missed).astype(np.int32)
    yield rng.choice(actions, len(right)).astype(np.int32)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_the_plain_loops_tokens_and_probabilities(family: str, threads: int, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path / "checkpoint")
    export_bundle(tmp_path / "checkpoint", tmp_path / "tiny.hyt", quantization="q4_0", threads=1)
    bundle = open_bundle(tmp_path / "tiny.hyt")
    contract = bundle.contract
    actions = list(contract.action.token_ids)
    rng = np.random.default_rng(0)

    def session(**changes: object) -> _core.Session:
        return _core.Session(
            str(bundle.language), str(bundle.vision), threads=threads, image_count=contract.image_count,
            max_text_tokens=8, max_thought_tokens=0, action_tokens=contract.action.tokens, action_token_ids=actions,
            thought_suppressed_ids=[], thought_end_id=0, **changes,
        )  # fmt: skip

    plain, guessing = session(), session(speculate="last")
    assert facts(guessing)["exact"] is bool(_core.system()["kernels"])
    layout = np.array([*(-1 - i for i in range(contract.image_count)), 6, 9, 14], np.int32)
    for _ in range(2):
        images = [rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in contract.cameras]
        plain.observe(images, layout)
        guessing.observe(images, layout)
        expected = plain.act(contract.modalities.act)
        for guess in guesses(rng, actions, expected.tokens):
            guessing.suppose(guess)
            check_same(expected, guessing.act(contract.modalities.act), guessing)


@pytest.mark.parametrize("quantize", [None, "q4_0", "q8_0"])
@pytest.mark.parametrize("kernels", [True, False])
def test_models_that_ggml_multiplies_say_the_same_tokens(open_case: Open, quantize: str | None, kernels: bool) -> None:
    for shape in (WIDE, AWKWARD):
        opened = open_case(shape, 2, quantize)
        actions = opened.case.contract["action"]["token_ids"]
        plain, guessing = (opened.session(own_kernels=kernels, speculate=how) for how in ("off", "last"))
        rng = np.random.default_rng(1)
        for text in (3, 11):
            layout = opened.case.layout(text, text)
            for each in (plain, guessing):
                each.observe(opened.case.images, layout)
            expected = plain.act(ACT)
            for guess in guesses(rng, actions, expected.tokens):
                guessing.suppose(guess)
                check_same(expected, guessing.act(ACT), guessing)


@pytest.mark.parametrize("window", [1, 2, 3, 5])
def test_a_sliding_window_slides_within_a_pass(open_case: Open, window: int) -> None:
    """Causal, as a window inside a bidirectional prefix is not defined: a prefix of one token, thoughts behind it."""
    opened = open_case(replace(WIDE, sliding_window=window), 3, "q4_0")
    actions = opened.case.contract["action"]["token_ids"]

    def session(how: str) -> _core.Session:
        return _core.Session(
            opened.files.language, "", threads=1, image_count=0, max_text_tokens=1, max_thought_tokens=12,
            action_tokens=8, action_token_ids=actions, thought_suppressed_ids=[], thought_end_id=1, speculate=how,
        )  # fmt: skip

    plain, guessing = session("off"), session("last")
    rng = np.random.default_rng(2)
    for each in (plain, guessing):
        each.observe([], np.array([6], np.int32))
    thought = np.array([11, 13, 12], np.int32)
    expected = plain.act_with_thought(THINK, thought)
    for guess in guesses(rng, actions, expected.tokens):
        guessing.suppose(guess)
        check_same(expected, guessing.act_with_thought(THINK, thought), guessing)


def test_every_modality_and_the_gate_say_the_same(open_case: Open, tmp_path: Path) -> None:
    opened = open_case(WIDE, 1, "q4_0")
    gate = make_gate(replace(WIDE, gate_units=16))
    actions = opened.case.contract["action"]["token_ids"]
    opened.gated_session(tmp_path, gate)  # writes head.gguf
    head = {"head": str(tmp_path / "head.gguf"), "gate_units": 16}
    plain, guessing = opened.session(**head), opened.session(**head, speculate="last")
    rng = np.random.default_rng(3)

    def both(name: str, *arguments: object) -> None:
        expected = getattr(plain, name)(*arguments)
        for guess in guesses(rng, actions, expected.tokens):
            guessing.suppose(guess)
            check_same(expected, getattr(guessing, name)(*arguments), guessing)

    for seed in range(2):
        for each in (plain, guessing):
            each.observe(opened.case.images, opened.case.layout(seed, 6))
        both("act", ACT)
        assert guessing.act_state().tobytes() == plain.act_state().tobytes()
        for each in (plain, guessing):
            each.think_begin(THINK)
        thoughts = [each.think().tokens.tolist() for each in (plain, guessing)]
        assert thoughts[0] == thoughts[1]
        both("act_after_thought")
        both("act_with_thought", THINK, np.array(thoughts[0][:3], np.int32))
        both("follow", opened.case.layout(9, 4), FOLLOW)
        both("act", ACT)


@pytest.mark.parametrize("rows", range(1, 9))
def test_any_number_of_rows_says_the_same_and_takes_as_many_passes_as_it_must(open_case: Open, rows: int) -> None:
    opened = open_case(WIDE, 1, "q4_0")
    actions = opened.case.contract["action"]["token_ids"]
    plain, guessing = opened.session(), opened.session(speculate="last", speculation_rows=rows)
    for each in (plain, guessing):
        each.observe(opened.case.images, opened.case.layout(0, 6))
    expected = plain.act(ACT)
    tokens = len(expected.tokens)

    def passes(guess: Ids) -> int:
        before = guessing.info()["action_passes"]
        guessing.suppose(guess)
        check_same(expected, guessing.act(ACT), guessing)
        after = guessing.info()["action_passes"]
        assert isinstance(before, int)
        assert isinstance(after, int)
        return after - before

    if facts(guessing)["exact"]:
        assert passes(expected.tokens) == -(-tokens // rows)
        assert passes(wrong(actions, expected.tokens)) == tokens


def test_it_counts_what_was_guessed_and_right(open_case: Open) -> None:
    opened = open_case(WIDE, 1, "q4_0")
    session = opened.session(speculate="last")
    session.observe(opened.case.images, opened.case.layout(0, 6))
    first = session.act(ACT)
    if not facts(session)["exact"]:
        return
    assert facts(session)["drafted"] == 0  # nothing had been said that could be guessed again
    session.act(ACT)
    tokens = len(first.tokens)
    found = facts(session)
    assert (found["passes"], found["drafted"], found["accepted"]) == (1, tokens - 1, tokens - 1)
    half = np.concatenate([first.tokens[:2], wrong(opened.case.contract["action"]["token_ids"], first.tokens[2:])])
    session.suppose(half)
    session.act(ACT)
    assert facts(session)["accepted"] == tokens - 1 + 2


def test_auto_times_passes_and_says_the_same_for_as_long_as_it_runs(open_case: Open) -> None:
    opened = open_case(WIDE, 1, "q4_0")
    plain, guessing = opened.session(), opened.session(speculate="auto")
    times = facts(guessing)["pass_seconds"]
    assert isinstance(times, list)
    assert len(times) == (8 if facts(guessing)["exact"] else 0)
    assert all(seconds > 0 for seconds in times)
    assert times == sorted(times)
    for turn in range(120):  # scenes that stand still for a while, so that it turns on and off
        layout = opened.case.layout(turn // 20, 6)
        for each in (plain, guessing):
            each.observe(opened.case.images, layout)
        check_same(plain.act(ACT), guessing.act(ACT), guessing)


def test_auto_is_off_where_passes_of_several_rows_are_other_bits(open_case: Open) -> None:
    session = open_case(AWKWARD, 1).session(speculate="auto")
    session.observe(open_case(AWKWARD, 1).case.images, open_case(AWKWARD, 1).case.layout(0, 6))
    for _ in range(40):
        session.act(ACT)
    assert facts(session) == {
        "passes": 0, "drafted": 0, "accepted": 0, "now": "off", "pass_seconds": [], "exact": False
    }  # fmt: skip


def test_guesses_that_cannot_be_an_action_are_refused(open_case: Open) -> None:
    session = open_case(WIDE, 1, "q4_0").session(speculate="last")
    for tokens, said in (([ACT] * 3, "guessed tokens; expected 8; received 3"), ([2**30] * 8, "guessed token")):
        with pytest.raises(_core.CoreError, match=said):
            session.suppose(np.array(tokens, np.int32))
    for changes, said in (({"speculate": "often"}, "speculate"), ({"speculation_rows": 9}, "speculation_rows")):
        with pytest.raises(_core.CoreError, match=said):
            open_case(WIDE, 1, "q4_0").session(**changes)
