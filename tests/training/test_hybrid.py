"""Modalities are drawn by their weights, follow never sees the instruction, and the loss is that of a naive reading."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_fit import SIZE
from training_data import random_decisions

from hyt.errors import InputError
from hyt.training.batches import normalised_images
from hyt.training.hybrid import METHODS, Composer, FollowShares, Weights
from hyt.training.loss import SmoothedCrossEntropy
from hyt.training.model import build_model, model_config
from hyt.training.network import HybridNetwork
from hyt.training.packing import IMAGE_SLOT, Sequence, pack
from hyt.training.samples import Example, Samples
from hyt.training.start import make_contract, make_vocabulary
from hyt.training.vocabulary import BOS, IMAGE, NEWLINE, ordered_ids

VOCABULARY = make_vocabulary()
CONTRACT = make_contract(VOCABULARY, "test")
TOKENIZER = VOCABULARY.tokenizer()
SAMPLES = Samples(random_decisions(0, 12, thoughts=0.75), CONTRACT, TOKENIZER)
THINKING = next(example for example in map(SAMPLES.__getitem__, range(12)) if example.thought is not None)
SILENT = next(example for example in map(SAMPLES.__getitem__, range(12)) if example.thought is None)
TAGS = CONTRACT.modalities
IMAGE_TOKENS = 4

CHI_SQUARE = 13.8
"""A chi-square variable with two degrees of freedom exceeds this in one case of a thousand."""

TOLERANCE = 2e-5  # float32 sums in another order


def composer(weights: Weights, *, packed: bool = False, shares: FollowShares | None = None) -> Composer:
    return Composer(CONTRACT, IMAGE_TOKENS, weights, shares or FollowShares(), packed)


def tag(sequence: Sequence) -> int:
    return sequence.branches[0].inputs[0]


@pytest.mark.parametrize("weights", [(0.25, 0.5, 0.25), (3, 1, 1), (0.1, 0.1, 0.8)])
def test_modalities_are_drawn_as_often_as_their_weights_say(weights: tuple[float, float, float]) -> None:
    random = np.random.default_rng(0)
    draw = composer(Weights(*weights)).draw
    count = 4000
    tags = [tag(draw(THINKING, random)) for _ in range(count)]
    observed = np.array([tags.count(id) for id in (TAGS.act, TAGS.think, TAGS.follow)])
    expected = count * np.array(weights) / sum(weights)
    assert ((observed - expected) ** 2 / expected).sum() < CHI_SQUARE


def test_a_point_without_a_thought_only_acts() -> None:
    random = np.random.default_rng(1)
    assert {tag(composer(Weights()).draw(SILENT, random)) for _ in range(50)} == {TAGS.act}
    assert Weights().of(False) == (1.0, 0.0, 0.0)
    assert Weights(0, 1, 0).of(False) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("method", "only"), [("vla", TAGS.act), ("ecot", TAGS.think)])
def test_plain_vla_and_ecot_are_corners(method: str, only: int) -> None:
    random = np.random.default_rng(2)
    draw = composer(Weights(*METHODS[method])).draw
    assert {tag(draw(THINKING, random)) for _ in range(50)} == {only}


def test_follow_never_holds_a_word_of_the_instruction() -> None:
    random = np.random.default_rng(3)
    drawer = TOKENIZER.token_to_id("drawer")
    assert drawer in THINKING.instruction
    texts = set()
    for _ in range(200):
        sequence = composer(Weights(0, 0, 1)).draw(THINKING, random)
        assert tag(sequence) == TAGS.follow
        assert drawer not in sequence.prefix
        start, end = sequence.prefix.index(BOS) + 1 + 4, sequence.prefix.index(NEWLINE)
        texts.add(tuple(sequence.prefix[start:end]))
    assert THINKING.thought
    assert THINKING.sub_instruction
    assert THINKING.motion
    assert texts == {tuple(THINKING.thought), tuple(THINKING.sub_instruction), tuple(THINKING.motion)}


def test_follow_is_given_each_part_by_its_share() -> None:
    random = np.random.default_rng(4)
    made = composer(Weights(), shares=FollowShares(0.2, 0.5, 0.3))
    texts = [made.follow_text(THINKING, random) for _ in range(3000)]
    observed = np.array([texts.count(t) for t in (THINKING.thought, THINKING.sub_instruction, THINKING.motion)])
    expected = 3000 * np.array([0.2, 0.5, 0.3])
    assert ((observed - expected) ** 2 / expected).sum() < CHI_SQUARE
    bare = replace(THINKING, sub_instruction=None, motion=None)
    assert made.follow_text(bare, random) == THINKING.thought


def test_the_sequences_are_those_of_the_method() -> None:
    made = composer(Weights(thought_token=0.2, action_token=3.0))
    images = [IMAGE_SLOT] * IMAGE_TOKENS
    actions = THINKING.action_ids
    act, think = made.acting(THINKING, "act"), made.acting(THINKING, "think")
    assert act.prefix == think.prefix == [*images, BOS, *THINKING.state_ids, *THINKING.instruction, NEWLINE]
    assert act.branches[0].inputs == [TAGS.act, *actions[:-1]]
    assert act.branches[0].targets == actions
    assert act.branches[0].weights == [3.0] * 4
    assert THINKING.thought is not None
    assert think.branches[0].targets == [*THINKING.thought, CONTRACT.thought.end_id, *actions]
    assert think.branches[0].weights == [0.2] * (len(THINKING.thought) + 1) + [3.0] * 4


@pytest.mark.parametrize("values", [(0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1), (1, float("inf"), 1)])
def test_weights_that_are_no_weights_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="weights; expected numbers of at least 0"):
        Weights(*values)


@pytest.fixture(scope="module")
def network() -> HybridNetwork:
    model = build_model(model_config(SIZE, VOCABULARY, 128), VOCABULARY, seed=1)
    with torch.no_grad():  # larger than a fresh model's, so that differences show
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return HybridNetwork(model, SmoothedCrossEntropy(ordered_ids(CONTRACT, TOKENIZER), 0.75))


def loss(network: HybridNetwork, examples: list[Example], sequences: list[Sequence]) -> float:
    pixels = normalised_images(SAMPLES, np.stack([example.images for example in examples]))
    with torch.no_grad():
        return float(network.train()(*pack(sequences, pixels)))


def naive_loss(network: HybridNetwork, example: Example, sequence: Sequence) -> float:
    """transformers on the prefix, then one forward pass a token, cross entropy in NumPy."""
    model = network.model.eval()  # in training, transformers' PaliGemma has another mask
    pixels = torch.from_numpy(example.images[0]).permute(2, 0, 1)[None].float() / 127.5 - 1
    total = 0.0
    for branch in sequence.branches:
        ids = torch.tensor([[IMAGE if id == IMAGE_SLOT else id for id in sequence.prefix]])
        with torch.no_grad():
            out = model(input_ids=ids, pixel_values=pixels, use_cache=True)
        fed = zip(branch.inputs, branch.targets, branch.weights, strict=True)
        for place, (token, target, weight) in enumerate(fed):
            with torch.no_grad():
                out = model(
                    input_ids=torch.tensor([[token]]),
                    past_key_values=out.past_key_values,
                    use_cache=True,
                    cache_position=torch.tensor([len(sequence.prefix) + place]),
                )
            logits = 30.0 * np.tanh(out.logits[0, -1].double().numpy() / 30.0)  # Gemma 2's final soft-cap
            log_probability = logits - np.log(np.exp(logits).sum())
            expected = np.zeros(len(logits))
            ordered = next((ids for ids in ordered_ids(CONTRACT, TOKENIZER) if target in ids), [target])
            for distance, id in enumerate(ordered, start=-ordered.index(target)):
                expected[id] = np.exp(-0.5 * (distance / 0.75) ** 2)
            total -= weight * float((expected / expected.sum() * log_probability).sum())
    return total


def test_the_loss_is_that_of_a_computation_token_by_token(network: HybridNetwork) -> None:
    made = composer(Weights())
    assert THINKING.sub_instruction is not None
    examples = [THINKING, THINKING, THINKING, SILENT, THINKING]
    sequences = [
        made.acting(THINKING, "act"),
        made.acting(THINKING, "think"),
        made.following(THINKING, THINKING.sub_instruction),
        made.acting(SILENT, "act"),
        made.both(THINKING),
    ]
    expected = [naive_loss(network, e, s) for e, s in zip(examples, sequences, strict=True)]
    assert loss(network, examples, sequences) == pytest.approx(np.mean(expected), rel=TOLERANCE)


@pytest.mark.parametrize("weights", [Weights(), Weights(1, 2, 0), Weights(1, 0, 0), Weights(0, 1, 0)])
def test_packing_gives_the_expectation_of_sampling(network: HybridNetwork, weights: Weights) -> None:
    """Over the draws of one data point: sum of p(m) loss(m) = p(act or think) loss(both) + p(follow) loss(follow)."""
    made = composer(weights)
    act, think, follow = weights.of(True)
    assert THINKING.motion is not None
    following = loss(network, [THINKING], [made.following(THINKING, THINKING.motion)])
    acting, thinking = (loss(network, [THINKING], [made.acting(THINKING, m)]) for m in ("act", "think"))
    both = loss(network, [THINKING], [made.both(THINKING)])
    sampled = act * acting + think * thinking + follow * following
    assert (act + think) * both + follow * following == pytest.approx(sampled, rel=TOLERANCE)
    random = np.random.default_rng(5)
    tags = [tag(composer(weights, packed=True).draw(THINKING, random)) for _ in range(400)]
    assert abs(tags.count(TAGS.follow) / 400 - follow) < 0.08
