"""Decisions become the token ids that the contract describes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from training_data import random_decisions

from hyt.errors import CheckpointError, InputError
from hyt.training.packing import Ids
from hyt.training.samples import Samples
from hyt.training.start import make_contract, make_vocabulary
from hyt.training.vocabulary import UNK, ordered_ids

VOCABULARY = make_vocabulary()
CONTRACT = make_contract(VOCABULARY, "test")
TOKENIZER = VOCABULARY.tokenizer()
DECISIONS = random_decisions(0, 6, thoughts=0.5)


def ids(text: str) -> Ids:
    return [TOKENIZER.token_to_id(word) for word in text.lower().split()]


def test_every_id_has_the_text_of_its_kind() -> None:
    assert TOKENIZER.get_vocab_size() == VOCABULARY.used
    assert TOKENIZER.id_to_token(VOCABULARY.first_grid) == "<p00>"
    assert TOKENIZER.id_to_token(VOCABULARY.first_state + 255) == "<s255>"
    assert TOKENIZER.id_to_token(CONTRACT.action.token_ids[-1]) == "<a32>"
    assert TOKENIZER.encode("Open the DRAWER").ids == ids("open the drawer")
    assert TOKENIZER.encode("juggle").ids == [UNK]


def test_a_thought_may_be_words_and_places_but_never_actions_states_or_tags() -> None:
    allowed = set(range(VOCABULARY.size)) - set(CONTRACT.thought.suppressed_ids)
    texts = {TOKENIZER.id_to_token(i) for i in allowed}
    assert {"</think>", "plan", "<p63>"} <= texts
    assert not any(text is None or text.startswith(("<a", "<s", "<b", "<e", "<f", "<u", "<i", "<n")) for text in texts)


def test_action_bins_and_image_coordinates_are_ordered() -> None:
    actions, grid = ordered_ids(CONTRACT, TOKENIZER)
    assert actions == list(CONTRACT.action.token_ids)
    assert [TOKENIZER.id_to_token(id) for id in grid] == [f"<p{i:02d}>" for i in range(64)]


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_an_example_is_the_decision_in_token_ids_streamed_or_held(memory: int) -> None:
    samples = Samples(DECISIONS, CONTRACT, TOKENIZER, memory)
    for index, decision in enumerate(DECISIONS):
        example = samples[index]
        np.testing.assert_array_equal(example.images[0], decision.images["corner2"])
        assert example.instruction == ids(decision.instruction)
        if decision.thought is None:
            assert example.thought is example.sub_instruction is example.motion is None
        else:
            assert example.thought == ids(decision.thought)
            assert example.sub_instruction == ids(str(decision.sub_instruction))
            assert example.motion == ids("move down back")
    assert [samples[i].thought is None for i in range(6)] == [True, False] * 3


def test_actions_in_the_robots_units_become_their_nearest_bin() -> None:
    edges = np.array([[-0.05, 0.0, 0.05, 9.0]], np.float32)
    samples = Samples([replace(DECISIONS[0], action=edges)], CONTRACT, TOKENIZER)
    assert [id - CONTRACT.action.token_ids[0] for id in samples[0].action_ids] == [0, 16, 32, 32]
    samples = Samples(DECISIONS, CONTRACT, TOKENIZER)
    for index, decision in enumerate(DECISIONS):
        example = samples[index]
        np.testing.assert_allclose(example.actions * [[0.05, 0.05, 0.05, 1.0]], decision.action, atol=1e-7)
        centers = np.array(CONTRACT.action.bin_centers)[np.array(example.action_ids) - CONTRACT.action.token_ids[0]]
        assert np.abs(centers - example.actions.ravel()).max() <= 1 / 32 + 1e-6


def test_states_become_bins_of_their_range_and_are_clipped() -> None:
    states = np.array([[-0.5, 0.4, 0.0, 0.0], [0.5, 1.0, 0.5, 1.0], [9.0, -9.0, 0.25, 0.5]], np.float32)
    samples = Samples([replace(DECISIONS[0], state=state) for state in states], CONTRACT, TOKENIZER)
    bins = [[id - VOCABULARY.first_state for id in samples[i].state_ids] for i in range(3)]
    assert bins == [[0, 0, 0, 0], [255, 255, 255, 255], [255, 0, 128, 128]]


def test_no_decision_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="at least one decision"):
        Samples([], CONTRACT, TOKENIZER)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"images": {"corner2": np.zeros((64, 64, 3), np.uint8)}}, r"corner2.*uint8 \(128, 128, 3\).*\(64, 64, 3\)"),
        ({"images": {"wrist": np.zeros((128, 128, 3), np.uint8)}}, r"corner2.*cameras \['wrist'\]"),
        ({"state": np.zeros(3, np.float32)}, r"state; expected 4 finite numbers"),
        ({"state": np.full(4, np.nan, np.float32)}, r"state; expected 4 finite numbers"),
        ({"action": np.zeros((2, 4), np.float32)}, r"action; expected .* shape \(1, 4\); received shape \(2, 4\)"),
        ({"action": np.full((1, 4), np.inf, np.float32)}, r"action; expected finite numbers"),
        ({"instruction": ""}, r"instruction; expected 1 to 24 tokens; received 0"),
        ({"thought": "plan " * 25, "sub_instruction": "move up"}, r"thought; expected 1 to 24 tokens; received 25"),
    ],
)
def test_what_does_not_fit_the_contract_is_one_line_that_names_its_place(changed: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=rf"episode 0, frame 0: .*{told}"):
        Samples([replace(DECISIONS[0], **changed)], CONTRACT, TOKENIZER)[0]  # type: ignore[arg-type]
