"""Packed training sequences give what the model computes when it is run token by token on a robot."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PaliGemmaForConditionalGeneration

from hyt.training.model import Size, build_model, model_config
from hyt.training.network import target_logits
from hyt.training.packing import (
    IGNORED,
    IMAGE_SLOT,
    Branch,
    Ids,
    Sequence,
    attention_mask,
    continuation,
    normalise,
    pack,
)
from hyt.training.vocabulary import ACT, BOS, IMAGE, NEWLINE, THINK, THOUGHT_END, Vocabulary

TOLERANCE = 2e-5  # float32 sums in another order

SIZE = Size(
    hidden=48,
    layers=3,
    heads=3,
    kv_heads=1,
    head_dim=24,
    feed_forward=64,
    vision_hidden=32,
    vision_layers=1,
    vision_heads=2,
    vision_feed_forward=64,
    patch=16,
    context=128,
)
VOCABULARY = Vocabulary(words=tuple("abcdefgh"), grid=8)
IMAGE_SIZE = 32
IMAGE_TOKENS = 4


@pytest.fixture(scope="module")
def model() -> PaliGemmaForConditionalGeneration:
    model = build_model(model_config(SIZE, VOCABULARY, IMAGE_SIZE), VOCABULARY, seed=1).eval()
    with torch.no_grad():  # larger than a fresh model's, so that differences show
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def random_ids(random: np.random.Generator, count: int) -> list[int]:
    return [int(i) for i in random.integers(10, VOCABULARY.used, count)]


def weighted(tag: int, tokens: Ids) -> Branch:
    return continuation(tag, tokens, [1.0] * len(tokens))


def random_sequence(random: np.random.Generator, text: int, thought: int) -> Sequence:
    actions = random_ids(random, 4)
    return Sequence(
        [IMAGE_SLOT] * IMAGE_TOKENS + [BOS, *random_ids(random, text), NEWLINE],
        (
            weighted(ACT, actions),
            weighted(THINK, [*random_ids(random, thought), THOUGHT_END, *actions]),
        ),
    )


def random_pixels(random: np.random.Generator, count: int) -> torch.Tensor:
    images = random.integers(0, 256, (count, 1, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    return normalise(images, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def soft_capped(model: PaliGemmaForConditionalGeneration, logits: torch.Tensor) -> torch.Tensor:
    """Gemma 2's final soft-cap, which transformers' PaliGemma leaves out and Gemma2ForCausalLM and llama.cpp apply."""
    cap = model.config.text_config.final_logit_softcapping
    return cap * torch.tanh(logits / cap)


@torch.no_grad()
def branch_logits(
    model: PaliGemmaForConditionalGeneration, pixels: torch.Tensor, sequences: list[Sequence]
) -> list[torch.Tensor]:
    logits = target_logits(model, pack(sequences, pixels))
    return list(torch.split(logits, [len(b.targets) for s in sequences for b in s.branches]))


@pytest.mark.parametrize("seed", range(3))
def test_packed_branches_give_the_logits_of_cached_decoding_in_transformers(
    model: PaliGemmaForConditionalGeneration, seed: int
) -> None:
    """The robot's order: prefill the bidirectional prefix, then feed the tag and one token at a time."""
    random = np.random.default_rng(seed)
    sequences = [random_sequence(random, text, thought) for text, thought in ((3, 5), (7, 2))]
    pixels = random_pixels(random, 2)
    packed = branch_logits(model, pixels, sequences)
    for row, sequence in enumerate(sequences):
        for number, branch in enumerate(sequence.branches):
            ids = torch.tensor([[IMAGE if id == IMAGE_SLOT else id for id in sequence.prefix]])
            with torch.no_grad():
                out = model(input_ids=ids, pixel_values=pixels[row], use_cache=True)
                logits = []
                for offset, token in enumerate(branch.inputs):
                    out = model(
                        input_ids=torch.tensor([[token]]),
                        past_key_values=out.past_key_values,
                        use_cache=True,
                        cache_position=torch.tensor([ids.shape[1] + offset]),
                    )
                    logits.append(soft_capped(model, out.logits[0, -1]))
            torch.testing.assert_close(packed[2 * row + number], torch.stack(logits), atol=TOLERANCE, rtol=TOLERANCE)


def test_branches_do_not_see_each_other(model: PaliGemmaForConditionalGeneration) -> None:
    random = np.random.default_rng(5)
    sequence = random_sequence(random, 4, 6)
    pixels = random_pixels(random, 1)
    together = branch_logits(model, pixels, [sequence])
    for number, branch in enumerate(sequence.branches):
        alone = branch_logits(model, pixels, [Sequence(sequence.prefix, (branch,))])
        torch.testing.assert_close(alone[0], together[number], atol=TOLERANCE, rtol=TOLERANCE)


def test_changing_a_later_token_changes_no_earlier_logit(model: PaliGemmaForConditionalGeneration) -> None:
    random = np.random.default_rng(6)
    sequence = random_sequence(random, 4, 6)
    pixels = random_pixels(random, 1)
    before = branch_logits(model, pixels, [sequence])[1]
    think = sequence.branches[1]
    targets = list(think.targets)
    targets[5] = targets[5] % 30 + 11  # another token, fed at position 6
    changed = Sequence(sequence.prefix, (sequence.branches[0], weighted(THINK, targets)))
    after = branch_logits(model, pixels, [changed])[1]
    torch.testing.assert_close(before[:6], after[:6], atol=TOLERANCE, rtol=TOLERANCE)
    assert (before[6:] - after[6:]).abs().max() > 1e-3


def test_the_trap_without_our_mask_transformers_lets_the_tag_see_the_answer(
    model: PaliGemmaForConditionalGeneration,
) -> None:
    """PaliGemma without labels is bidirectional over its whole input, which is why `attention_mask` is explicit."""
    random = np.random.default_rng(7)
    pixels = random_pixels(random, 1)
    prefix = [IMAGE] * IMAGE_TOKENS + [BOS, *random_ids(random, 4), NEWLINE, ACT]
    with torch.no_grad():
        logits = [
            model(input_ids=torch.tensor([[*prefix, answer]]), pixel_values=pixels[0]).logits[0, len(prefix) - 1]
            for answer in (20, 40)
        ]
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_padding_and_prefix_are_not_trained() -> None:
    pixels = torch.zeros(2, 1, 3, 2, 2)
    short = Sequence([IMAGE_SLOT, IMAGE_SLOT, BOS], (weighted(ACT, [15]),))
    long = Sequence([IMAGE_SLOT, IMAGE_SLOT, BOS, 11, 12, NEWLINE], (weighted(THINK, [13, 14, THOUGHT_END, 15]),))
    batch = pack([short, long], pixels)
    assert batch.targets[0].tolist() == [IGNORED] * 3 + [15] + [IGNORED] * 6
    assert batch.targets[1].tolist() == [IGNORED] * 6 + [13, 14, THOUGHT_END, 15]
    assert batch.positions[1].tolist() == list(range(10))
    assert batch.weights[0].tolist() == [0.0] * 3 + [1.0] + [0.0] * 6


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_mask_is_that_of_a_loop_over_pairs(bidirectional: bool) -> None:
    branch = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2, -1, -1]])
    positions = torch.tensor([[0, 1, 2, 3, 4, 3, 4, 5, 0, 0]])
    mask = attention_mask(branch, positions, bidirectional_prefix=bidirectional)[0, 0]
    for i, (own, at) in enumerate(zip(branch[0].tolist(), positions[0].tolist(), strict=True)):
        for j, (other, there) in enumerate(zip(branch[0].tolist(), positions[0].tolist(), strict=True)):
            if own == -1:
                seen = other in (0, -1)
            elif own == 0:
                seen = other == 0 and (bidirectional or there <= at)
            else:
                seen = other == 0 or (other == own and there <= at)
            assert (mask[i, j] == 0) == seen, (i, j)
