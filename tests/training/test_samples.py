"""Demonstrations become the token ids that the contract describes."""

from __future__ import annotations

import numpy as np
import pytest
from training_data import random_episode

from hyt.errors import CheckpointError
from hyt.training.fit import make_contract, make_vocabulary
from hyt.training.samples import Samples, Weights, action_ids, shift, state_ids
from hyt.training.vocabulary import BOS, FOLLOW, NEWLINE, UNK

VOCABULARY = make_vocabulary()
CONTRACT = make_contract(VOCABULARY, "test")
TOKENIZER = VOCABULARY.tokenizer()


def test_every_id_has_the_text_of_its_kind() -> None:
    assert TOKENIZER.get_vocab_size() == VOCABULARY.used
    assert TOKENIZER.id_to_token(VOCABULARY.first_grid) == "<p00>"
    assert TOKENIZER.id_to_token(VOCABULARY.first_state + 255) == "<s255>"
    assert TOKENIZER.id_to_token(CONTRACT.action.token_ids[-1]) == "<a32>"
    assert TOKENIZER.encode("Open the DRAWER").ids == [TOKENIZER.token_to_id(w) for w in ("open", "the", "drawer")]
    assert TOKENIZER.encode("juggle").ids == [UNK]


def test_a_thought_may_be_words_and_places_but_never_actions_states_or_tags() -> None:
    allowed = set(range(VOCABULARY.size)) - set(CONTRACT.thought.suppressed_ids)
    texts = {TOKENIZER.id_to_token(i) for i in allowed}
    assert {"</think>", "plan", "<p63>"} <= texts
    assert not any(text is None or text.startswith(("<a", "<s", "<b", "<e", "<f", "<u", "<i", "<n")) for text in texts)


def test_actions_become_their_nearest_bin() -> None:
    random = np.random.default_rng(0)
    actions = random.uniform(-1, 1, (200, 4)).astype(np.float32)
    ids = action_ids(CONTRACT, actions)
    centers = np.array(CONTRACT.action.bin_centers)[ids - CONTRACT.action.token_ids[0]]
    assert np.abs(centers - actions).max() <= 1 / 32 + 1e-6
    np.testing.assert_array_equal(
        action_ids(CONTRACT, np.array([[-1, 0, 1, 1]], np.float32)) - CONTRACT.action.token_ids[0], [[0, 16, 32, 32]]
    )


def test_states_become_bins_of_their_range_and_are_clipped() -> None:
    states = np.array([[-0.5, 0.4, 0.0, 0.0], [0.5, 1.0, 0.5, 1.0], [9.0, -9.0, 0.25, 0.5]], np.float32)
    bins = state_ids(CONTRACT, states) - VOCABULARY.first_state
    np.testing.assert_array_equal(bins, [[0, 0, 0, 0], [255, 255, 255, 255], [255, 0, 128, 128]])


def test_follow_sees_the_thought_and_not_the_instruction() -> None:
    random = np.random.default_rng(1)
    samples = Samples([random_episode(random, "drawer-open-v3", 9)], CONTRACT, TOKENIZER)
    drawer = TOKENIZER.token_to_id("drawer")
    for index in range(9):
        sequence = samples.draw(index, Weights(follow=1.0), random)
        assert len(sequence.branches) == 1
        assert sequence.branches[0].inputs[0] == FOLLOW
        assert sequence.prefix[0] == BOS
        assert sequence.prefix[-1] == NEWLINE
        assert drawer not in sequence.prefix
        assert TOKENIZER.token_to_id("move") in sequence.prefix


def test_thinking_trains_act_and_think_on_the_same_actions() -> None:
    random = np.random.default_rng(2)
    samples = Samples([random_episode(random, "drawer-open-v3", 3)], CONTRACT, TOKENIZER)
    act, think = samples.draw(1, Weights(follow=0.0), random).branches
    assert act.targets == think.targets[-4:] == samples.action_ids[1].tolist()
    assert think.targets[:-5] == samples.thought_ids[1]
    assert think.targets[-5] == CONTRACT.thought.end_id


def test_no_episode_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="at least one episode"):
        Samples([], CONTRACT, TOKENIZER)


def test_shifting_moves_the_picture_and_repeats_its_border() -> None:
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (40, 9, 11, 3), dtype=np.uint8)
    moved = shift(images, 2, random)
    offsets = set()
    for before, after in zip(images, moved, strict=True):
        padded = np.pad(before, ((2, 2), (2, 2), (0, 0)), mode="edge")
        matches = [(y, x) for y in range(5) for x in range(5) if np.array_equal(padded[y : y + 9, x : x + 11], after)]
        assert len(matches) == 1
        offsets.add(matches[0])
    assert len(offsets) > 10
