"""Continuous training sequences give what the model computes alone, number by number; the loss is L1 by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from action_heads import Head, head_numbers
from transformers import PaliGemmaForConditionalGeneration

from hyt.errors import CheckpointError
from hyt.runtime.contract import Contract
from hyt.training.continuous import ActionHead, chunked, continuous_contract, new_head, read_head, slot_branch
from hyt.training.loss import SmoothedCrossEntropy
from hyt.training.model import Size, build_model, model_config
from hyt.training.network import HybridNetwork
from hyt.training.packing import (
    ACTION_SLOT,
    IGNORED,
    IMAGE_SLOT,
    Ids,
    Sequence,
    attention_mask,
    continuation,
    pack,
    slot_block,
)
from hyt.training.start import make_contract, make_vocabulary
from hyt.training.vocabulary import ACT, BOS, IMAGE, NEWLINE, THINK, THOUGHT_END, Vocabulary

TOLERANCE = 2e-5  # float32 sums in another order

SIZE = Size(
    hidden=48, layers=3, heads=3, kv_heads=1, head_dim=24, feed_forward=64, vision_hidden=32, vision_layers=1,
    vision_heads=2, vision_feed_forward=64, patch=16, context=128,
)  # fmt: skip
VOCABULARY = Vocabulary(words=tuple("abcdefgh"), grid=8)
IMAGE_SIZE, IMAGE_TOKENS = 32, 4
STEPS, DIMS = 3, 5
THOUGHT = [12, 17, 11, 14, THOUGHT_END]
PREFIX = [*[IMAGE_SLOT] * IMAGE_TOKENS, BOS, 13, 15, 10, NEWLINE]


@pytest.fixture(scope="module")
def model() -> PaliGemmaForConditionalGeneration:
    model = build_model(model_config(SIZE, VOCABULARY, IMAGE_SIZE), VOCABULARY, seed=1).eval()
    with torch.no_grad():  # larger than a fresh model's, so that differences show
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def random_head(seed: int = 0) -> ActionHead:
    torch.manual_seed(seed)
    head = ActionHead(SIZE.hidden, STEPS, DIMS, width=40)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return head


def numbers(seed: int) -> list[float]:
    return [float(x) for x in np.random.default_rng(seed).uniform(-1, 1, STEPS * DIMS)]


def sequences() -> list[Sequence]:
    """Three data points: act and think on one prefix, think alone, act alone behind a longer prefix."""
    act = slot_branch(ACT, [], numbers(0), thought_token=0.5, number=2.0)
    think = slot_branch(THINK, THOUGHT, numbers(1), thought_token=0.5, number=0.25)
    return [Sequence(PREFIX, (act, think)), Sequence(PREFIX, (think,)), Sequence([*PREFIX, 11, 12], (act,))]


def pixels(count: int) -> torch.Tensor:
    return torch.rand(count, 1, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(3)) * 2 - 1


def network(model: Any, head: ActionHead) -> HybridNetwork:
    return HybridNetwork(model, SmoothedCrossEntropy([], 0.0), head)


def alone(model: Any, head: ActionHead, prefix: Ids, tag: int, thought: Ids, picture: torch.Tensor) -> Any:
    """Hidden states (n, hidden) of one branch: explicit loops for the mask, one unpadded sequence."""
    written = [*prefix, tag, *thought]
    first_slot = len(written)
    inner = model.model
    with torch.no_grad():
        table = inner.get_input_embeddings()
        embedded = table(torch.tensor([max(id, 0) for id in written]))
        embedded[:IMAGE_TOKENS] = inner.get_image_features(picture)[0]
        embedded = torch.cat([embedded, head.slots.weight])
        length = len(embedded)
        mask = torch.full((1, 1, length, length), torch.finfo(torch.float32).min)
        for i in range(length):
            for j in range(length):
                both_in_prefix = max(i, j) < len(prefix)
                if j <= i or both_in_prefix or i >= first_slot - 1:
                    mask[0, 0, i, j] = 0.0
        return inner.language_model(
            inputs_embeds=embedded[None],
            attention_mask={"full_attention": mask, "sliding_attention": mask},
            position_ids=torch.arange(length)[None],
            use_cache=False,
        ).last_hidden_state[0]


def by_formula(head: ActionHead, states: torch.Tensor) -> torch.Tensor:
    tensors = {name: value.detach() for name, value in head.state_dict().items()}
    return head_numbers(Head(SIZE.hidden, STEPS, DIMS, 40, 2, tensors), states[-STEPS * DIMS :])


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_mask_is_that_of_a_loop_over_all_pairs(bidirectional: bool) -> None:
    batch = pack(sequences(), pixels(3))
    block = slot_block(batch.ids)
    mask = attention_mask(batch.branch, batch.positions, bidirectional_prefix=bidirectional, block=block)
    for row, sequence in enumerate(sequences()):
        places: list[tuple[int, int, bool]] = [(0, i, False) for i in range(len(sequence.prefix))]
        for number, branch in enumerate(sequence.branches, start=1):
            first_slot = next(i for i, id in enumerate(branch.inputs) if id <= ACTION_SLOT)
            places += [(number, len(sequence.prefix) + i, i >= first_slot - 1) for i in range(len(branch.inputs))]
        for i, (branch_i, at_i, joined_i) in enumerate(places):
            for j, (branch_j, at_j, joined_j) in enumerate(places):
                if branch_i == 0:
                    sees = branch_j == 0 and (bidirectional or at_j <= at_i)
                elif branch_j == 0:
                    sees = True
                else:
                    sees = branch_i == branch_j and (at_j <= at_i or (joined_i and joined_j))
                assert (mask[row, 0, i, j] == 0) == sees, (row, i, j)


def test_numbers_of_packed_branches_are_those_of_each_branch_alone(model: PaliGemmaForConditionalGeneration) -> None:
    head = random_head()
    pictures = pixels(3)
    with torch.no_grad():
        answers = network(model, head).eval()(*pack(sequences(), pictures))
    branches = [(0, PREFIX, ACT, []), (0, PREFIX, THINK, THOUGHT), (1, PREFIX, THINK, THOUGHT)]
    branches.append((2, [*PREFIX, 11, 12], ACT, []))
    assert answers.numbers.shape == (4, STEPS * DIMS)
    for received, (row, prefix, tag, thought) in zip(answers.numbers, branches, strict=True):
        expected = by_formula(head, alone(model, head, prefix, tag, thought, pictures[row]))
        assert float((received - expected).abs().max() / expected.abs().max()) < TOLERANCE


def test_a_thought_is_written_as_without_slots(model: PaliGemmaForConditionalGeneration) -> None:
    """Its tokens never see what stands behind them."""
    head = random_head()
    answers = network(model, head).eval()(*pack(sequences()[1:2], pixels(1)))
    tokens = continuation(THINK, THOUGHT, [1.0] * len(THOUGHT))
    plain = HybridNetwork(model, SmoothedCrossEntropy([], 0.0)).eval()
    expected = plain(*pack([Sequence(PREFIX, (tokens,))], pixels(1)))
    torch.testing.assert_close(answers.logits, expected.logits, rtol=0, atol=1e-4)
    assert expected.numbers.numel() == 0


def test_the_loss_is_weighted_cross_entropy_and_l1_by_hand(model: PaliGemmaForConditionalGeneration) -> None:
    head, given = random_head(), sequences()
    batch = pack(given, pixels(3))
    trained = network(model, head)
    with torch.no_grad():
        answers = trained.eval()(*batch)
    expected, logit, row = 0.0, 0, 0
    for sequence in given:
        for branch in sequence.branches:
            for target, weight in zip(branch.targets, branch.weights, strict=True):
                if target != IGNORED:
                    expected += weight * float(-torch.log_softmax(answers.logits[logit], 0)[target])
                    logit += 1
            slots = len(branch.inputs) - STEPS * DIMS
            for slot in range(STEPS * DIMS):
                error = abs(float(answers.numbers[row, slot]) - branch.numbers[slots + slot])
                expected += branch.weights[slots + slot] * error
            row += 1
    assert trained.train()(*batch).item() == pytest.approx(expected / len(given), rel=1e-5)


def test_a_few_steps_overfit_a_toy_batch() -> None:
    """act and think of one data point with different numbers: only tag and thought tell them apart."""
    torch.manual_seed(2)
    fresh = build_model(model_config(SIZE, VOCABULARY, IMAGE_SIZE), VOCABULARY, seed=2)
    head = ActionHead(SIZE.hidden, STEPS, DIMS, width=SIZE.hidden)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.mul_(3.0)
        head.slots.weight.mul_(0.02)
    trained = network(fresh, head).train()
    act, think = (
        slot_branch(tag, thought, numbers(seed), thought_token=0.5, number=1.0)
        for seed, (tag, thought) in enumerate(((ACT, []), (THINK, THOUGHT)))
    )
    batch = pack([Sequence(PREFIX, (act, think))], pixels(1))
    optimizer = torch.optim.AdamW(trained.parameters(), lr=3e-3)
    losses, steps = [], 60
    for step in range(steps):
        # L1's gradient does not fall by itself.
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1.0, (step + 1) / 10) * (1 - step / steps)
        loss = trained(*batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]
    with torch.no_grad():
        answers = trained.eval()(*batch)
    assert float((answers.numbers - torch.tensor([numbers(0), numbers(1)])).abs().mean()) < 0.05
    assert answers.logits.argmax(1).tolist() == THOUGHT


def contract(steps: int = STEPS) -> Contract:
    return continuous_contract(chunked(make_contract(make_vocabulary(), "test"), steps))


def test_a_continuous_contract_has_no_tokens_and_still_suppresses_those_it_had() -> None:
    tokens = make_contract(make_vocabulary(), "test")
    made = contract()
    assert (made.action.kind, made.action.steps, made.action.token_ids) == ("continuous", STEPS, ())
    assert set(tokens.action.token_ids) <= set(made.thought.suppressed_ids)


def test_a_new_head_is_the_same_for_the_same_seed_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (new_head(16, contract(), seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), first)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["slots.weight"], other["slots.weight"])


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b"none"), "header"),
        (lambda path: None, "size mismatch for slots.weight"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(tmp_path: Path, damage: Any, line: str) -> None:
    from safetensors.torch import save_file

    save_file(new_head(16, contract(STEPS + 1), 0).state_dict(), tmp_path / "action_head.safetensors")
    damage(tmp_path / "action_head.safetensors")
    with pytest.raises(CheckpointError, match="the head of this contract's action") as error:
        read_head(tmp_path, contract(), 16)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_the_image_token_stands_for_no_slot() -> None:
    assert IMAGE not in (IMAGE_SLOT, ACTION_SLOT)
    assert not slot_block(torch.tensor([[IMAGE_SLOT, 3, 4]])).any()
