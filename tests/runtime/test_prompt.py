"""Tests of hyt.runtime.prompt: the layout of the prefix, and texts that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from checkpoints import BOS, NEWLINE, SPECIALS, WORDS
from hypothesis import given
from hypothesis import strategies as st

import hyt
from hyt.runtime.prompt import Prompt, read_tokenizer

SHAPE = checkpoints.Shape(cameras=2)
CONTRACT = checkpoints.make_contract(SHAPE)
PROMPT = Prompt(CONTRACT, checkpoints.make_tokenizer(SHAPE))
FIRST_STATE = len(SPECIALS) + len(WORDS)


def refusal(text: str) -> str:
    with pytest.raises(hyt.InputError) as caught:
        PROMPT.encode(text)
    return str(caught.value)


def test_the_layout_is_images_then_bos_state_text_newline() -> None:
    ids = PROMPT.encode("open the drawer")
    layout = PROMPT.layout(ids, np.array([-1, 0, 0.999, 5], np.float32))
    assert layout.dtype == np.int32
    state = [FIRST_STATE + bin for bin in (0, 8, 15, 15)]
    assert layout.tolist() == [-1, -2, BOS, *state, *ids, NEWLINE]


@given(st.lists(st.floats(-3, 3, width=32), min_size=4, max_size=4))
def test_state_tokens_are_numpys_bins(values: list[float]) -> None:
    state = np.array(values, np.float32)
    bins = np.clip(np.floor((state.astype(np.float64) + 1) / 2 * SHAPE.state_bins), 0, SHAPE.state_bins - 1)
    layout = PROMPT.layout(PROMPT.encode("open"), state)
    assert (layout[3:7] - FIRST_STATE).tolist() == bins.tolist()


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=SHAPE.text_tokens))
def test_known_words_survive_encoding_and_decoding(words: list[str]) -> None:
    assert PROMPT.decode(PROMPT.encode(" ".join(words))).split() == words


def test_the_end_of_a_thought_is_no_part_of_its_text() -> None:
    assert PROMPT.decode([*PROMPT.encode("PLAN reach"), CONTRACT.thought.end_id]) == "PLAN reach"


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_an_empty_instruction_is_refused(text: str) -> None:
    assert refusal(text) == f"instruction; expected a text; received {text!r}"


def test_a_text_that_is_no_unicode_is_refused() -> None:
    expected = r"instruction; expected Unicode text; received 'open \udc80'; check its encoding"
    assert refusal("open \udc80") == expected


def test_an_unknown_word_is_refused_and_named() -> None:
    assert refusal("please open the the fridge please") == (
        "instruction 'please open the the fridge please'; expected words the policy's tokenizer knows; received "
        "unknown 'please', 'fridge'; hyt-run inspect lists the instructions and words the policy was trained on"
    )


@pytest.mark.parametrize("word", ["<act>", "</think>", "<a3>"])
def test_a_control_token_in_a_text_is_refused(word: str) -> None:
    assert refusal(f"open {word}") == (
        f"instruction 'open {word}'; expected text; received the control token '{word}'; leave it out: tags and action "
        "tokens are the runtime's"
    )


def test_an_instruction_that_is_too_long_is_refused() -> None:
    text = " ".join(["open"] * 9)
    assert refusal(text) == f"instruction {text!r}; expected 1 to 8 tokens; received 9; shorten it"


def test_a_damaged_tokenizer_is_a_bundle_error(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(hyt.BundleError, match=r"expected a Hugging Face tokenizer\.json"):
        read_tokenizer(path, CONTRACT)


def test_a_tokenizer_that_fails_at_an_unknown_word_is_refused_when_it_is_read(tmp_path: Path) -> None:
    data = json.loads(checkpoints.make_tokenizer(SHAPE).to_str())
    data["model"]["unk_token"] = "<nobody>"
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(hyt.BundleError, match=r"expected a Hugging Face tokenizer\.json; received .*UNK"):
        read_tokenizer(tmp_path / "tokenizer.json", CONTRACT)


def test_an_endless_token_is_refused_before_the_library_chews_on_it(tmp_path: Path) -> None:
    data = json.loads(checkpoints.make_tokenizer(SHAPE).to_str())
    data["added_tokens"][0]["content"] = "x" * 10**6
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(
        hyt.BundleError, match="expected added tokens of at most 256 characters; received one of 1000000"
    ):
        read_tokenizer(tmp_path / "tokenizer.json", CONTRACT)


def test_a_tokenizer_with_more_tokens_than_the_policy_is_a_bundle_error(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    checkpoints.make_tokenizer(checkpoints.Shape(action_bins=99)).save(str(path))
    with pytest.raises(hyt.BundleError) as caught:
        read_tokenizer(path, CONTRACT)
    assert str(caught.value) == f"{path}; expected at most vocab_size {CONTRACT.vocab_size} tokens; received 149"
