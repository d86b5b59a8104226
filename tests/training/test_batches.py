"""Batches depend on seed, step and row alone: not on who draws them, and not on what was drawn before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_data import random_decisions

from hyt.errors import InputError
from hyt.training.batches import Batches, shift
from hyt.training.hybrid import Composer, Weights
from hyt.training.packing import IGNORED, PADDING_BRANCH
from hyt.training.recipe import Recipe
from hyt.training.samples import Samples
from hyt.training.start import make_contract, make_vocabulary
from hyt.training.vocabulary import UNK

VOCABULARY = make_vocabulary()
CONTRACT = make_contract(VOCABULARY, "test")
SAMPLES = Samples(random_decisions(0, 12, thoughts=0.5), CONTRACT, VOCABULARY.tokenizer())


def batches(recipe: Recipe, rank: int = 0, processes: int = 1, samples: Samples = SAMPLES) -> Batches:
    composer = Composer(CONTRACT, 4, recipe.weights, recipe.follow, recipe.packed)
    return Batches(samples, composer, recipe, rank, processes)


def test_a_step_is_the_same_whatever_was_drawn_before() -> None:
    recipe = Recipe(batch=4, seed=3)
    made = batches(recipe)
    made[0], made[1]
    for a, b in zip(made[7][0], batches(recipe)[7][0], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(made[7][0].ids, made[8][0].ids)


def test_two_processes_draw_what_one_draws() -> None:
    recipe = Recipe(batch=6)
    whole = batches(recipe)
    for rank in (0, 1):
        for place, row in enumerate(range(rank, 6, 2)):
            image, sequence = batches(recipe, rank, 2).draw(5, row)
            other, same = whole.draw(5, 2 * place + rank)
            np.testing.assert_array_equal(image, other)
            assert sequence == same
    assert whole[5][1] == sum(batches(recipe, rank, 2)[5][1] for rank in (0, 1))


def test_positions_are_counted_without_padding() -> None:
    batch, positions = batches(Recipe(batch=8))[0]
    assert positions == int((batch.branch != PADDING_BRANCH).sum())
    assert positions < batch.ids.numel()
    assert int((batch.targets != IGNORED).sum()) > 0


def test_a_batch_that_the_processes_cannot_share_evenly_is_refused() -> None:
    with pytest.raises(InputError, match="batch of 5; expected a multiple of the 2 processes"):
        batches(Recipe(batch=5), 0, 2)


def test_points_without_thoughts_are_left_out_when_only_thinking_is_asked() -> None:
    thinking = batches(Recipe(batch=32, weights=Weights(0, 1, 0)))
    assert all(thinking.draw(0, row)[1].branches[0].inputs[0] == CONTRACT.modalities.think for row in range(32))
    silent = Samples(random_decisions(1, 3, thoughts=0.0), CONTRACT, VOCABULARY.tokenizer())
    with pytest.raises(InputError, match="training data; expected thoughts"):
        batches(Recipe(batch=2, weights=Weights(0, 1, 0)), samples=silent)[0]


def test_some_instruction_words_are_shown_as_unknown() -> None:
    made = batches(Recipe(batch=64, unknown_words=0.3, weights=Weights(1, 0, 0)))
    unknown = sum(made.draw(0, row)[1].prefix.count(UNK) for row in range(64))
    words = sum(len(made.draw(0, row)[1].prefix) - 4 - 1 - 4 - 1 for row in range(64))
    assert 0.2 < unknown / words < 0.4
    assert not any(UNK in batches(Recipe(unknown_words=0.0)).draw(0, row)[1].prefix for row in range(32))


def test_shifting_moves_the_picture_and_repeats_its_border() -> None:
    random = np.random.default_rng(3)
    offsets = set()
    for _ in range(40):
        image = random.integers(0, 256, (9, 11, 3), dtype=np.uint8)
        moved = shift(image, 2, random)
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
        matches = [(y, x) for y in range(5) for x in range(5) if np.array_equal(padded[y : y + 9, x : x + 11], moved)]
        assert len(matches) == 1
        offsets.add(matches[0])
    assert len(offsets) > 10
