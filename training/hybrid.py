"""The HyT objective (arXiv 2510.00600): each data point is trained in one modality, drawn by weight.

    act:    prefix(images, state, instruction)  <act>    a1 .. aK
    think:  prefix(images, state, instruction)  <think>  t1 .. tn </think> a1 .. aK
    follow: prefix(images, state, thought)      <follow> a1 .. aK        the instruction is not seen

a1 .. aK are action tokens, or the slots of a continuous action (`hyt.training.continuous`).

Only what is generated is trained. A plain VLA is this objective with the weights (1, 0, 0), ECoT with (0, 1, 0). A data
point without a thought can only act: the weights are renormalised over what it can do, and a point that can do nothing
of what is asked is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hyt.errors import InputError
from hyt.runtime.contract import Contract, ImageSegment, StateSegment, TokenSegment
from hyt.training.continuous import slot_branch
from hyt.training.packing import IMAGE_SLOT, Branch, Ids, Sequence, continuation
from hyt.training.samples import Example

MODALITIES = ("act", "think", "follow")

METHODS = {"vla": (1.0, 0.0, 0.0), "ecot": (0.0, 1.0, 0.0), "hyt": (0.25, 0.5, 0.25)}
"""Weights of act, think and follow by the name of the method."""


@dataclass(frozen=True)
class Weights:
    """How often each modality is drawn, and what a generated token weighs in the loss."""

    act: float = 0.25
    think: float = 0.5
    follow: float = 0.25
    thought_token: float = 0.2
    action_token: float = 1.0
    """Of an action token, or of a number of a continuous action."""

    def __post_init__(self) -> None:
        values = (self.act, self.think, self.follow, self.thought_token, self.action_token)
        if not all(math.isfinite(v) and v >= 0 for v in values) or self.act + self.think + self.follow <= 0:
            raise InputError(
                "weights", expected="numbers of at least 0, not all of the modalities 0", received=f"{values}"
            )

    def of(self, has_thought: bool) -> tuple[float, float, float]:
        """Probabilities of act, think and follow for a data point; all 0 when it can do nothing that is asked."""
        think, follow = (self.think, self.follow) if has_thought else (0.0, 0.0)
        total = self.act + think + follow
        return (self.act / total, think / total, follow / total) if total else (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class FollowShares:
    """What `follow` is given: the whole thought, its sub-instruction, or only the motion in it (`move up`)."""

    thought: float = 0.3
    sub_instruction: float = 0.5
    motion: float = 0.2


def prefix(example: Example, text: Ids, contract: Contract, image_tokens: int) -> Ids:
    """Token ids of a prefix as the contract's prompt says, `image_tokens` slots for each camera."""
    ids: Ids = []
    for segment in contract.prompt:
        if isinstance(segment, ImageSegment):
            ids += [IMAGE_SLOT] * image_tokens
        elif isinstance(segment, TokenSegment):
            ids.append(segment.id)
        elif isinstance(segment, StateSegment):
            ids += example.state_ids
        else:
            ids += text
    return ids


def branch(example: Example, modality: str, contract: Contract, weights: Weights, share: float = 1.0) -> Branch:
    """What is generated in one modality; token weights are multiplied by `share`."""
    tag = contract.modalities.named()[modality]
    if contract.action.kind == "continuous":
        written = [*(example.thought or []), contract.hybrid().end] if modality == "think" else []
        numbers = example.actions.ravel().tolist()
        token, number = share * weights.thought_token, share * weights.action_token
        return slot_branch(tag, written, numbers, thought_token=token, number=number)
    actions, action_weights = example.action_ids, [share * weights.action_token] * len(example.action_ids)
    if modality != "think":
        return continuation(tag, actions, action_weights)
    assert example.thought is not None
    thought = [*example.thought, contract.hybrid().end]
    return continuation(tag, thought + actions, [share * weights.thought_token] * len(thought) + action_weights)


@dataclass(frozen=True)
class Composer:
    """Turns examples into training sequences for one contract."""

    contract: Contract
    image_tokens: int
    weights: Weights
    shares: FollowShares
    packed: bool = False
    """act and think of a data point on one shared prefix, weighted by their share, in place of one drawn."""

    def acting(self, example: Example, modality: str) -> Sequence:
        """act or think behind the instruction."""
        return self._behind(example, example.instruction, branch(example, modality, self.contract, self.weights))

    def following(self, example: Example, text: Ids) -> Sequence:
        """follow behind a thought, or part of one, in place of the instruction."""
        return self._behind(example, text, branch(example, "follow", self.contract, self.weights))

    def both(self, example: Example) -> Sequence:
        """act and think on one prefix, weighted by their shares, so that their mean is that of drawing one."""
        act, think, _ = self.weights.of(example.thought is not None)
        parts = [
            branch(example, modality, self.contract, self.weights, share / (act + think))
            for modality, share in (("act", act), ("think", think))
            if share > 0
        ]
        return self._behind(example, example.instruction, *parts)

    def draw(self, example: Example, random: np.random.Generator) -> Sequence:
        """One training sequence of a data point; its modality is the first thing drawn from `random`."""
        modality = MODALITIES[random.choice(3, p=self.weights.of(example.thought is not None))]
        if modality == "follow":
            return self.following(example, self.follow_text(example, random))
        return self.both(example) if self.packed else self.acting(example, modality)

    def follow_text(self, example: Example, random: np.random.Generator) -> Ids:
        """What to follow: a part of the thought by its share, or the next longer one where there is no such part."""
        texts = [text for text in (example.thought, example.sub_instruction, example.motion) if text is not None]
        shares = np.array([self.shares.thought, self.shares.sub_instruction, self.shares.motion])
        chosen = int(random.choice(3, p=shares / shares.sum()))
        return texts[min(chosen, len(texts) - 1)]

    def _behind(self, example: Example, text: Ids, *branches: Branch) -> Sequence:
        return Sequence(prefix(example, text, self.contract, self.image_tokens), branches)
