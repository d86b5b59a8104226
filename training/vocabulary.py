"""The small policies' vocabulary and the contract that goes with it: words, image coordinates, state bins, action bins.

Ids, in order: specials and tags, words, grid coordinates `<p00>`, state bins `<s000>`, action bins `<a00>`, then
padding up to a multiple of 64. A word-level tokenizer maps text to ids; text can be anything, words it does not know
become `<unk>`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from hyt.runtime.contract import (
    Action,
    ActionDimension,
    Camera,
    Contract,
    ImageSegment,
    Modalities,
    State,
    StateDimension,
    StateSegment,
    TextSegment,
    Thought,
    TokenSegment,
)

SPECIALS = ("<pad>", "<eos>", "<bos>", "<unk>", "<image>", "<newline>", "<act>", "<think>", "<follow>", "</think>")
PAD, EOS, BOS, UNK, IMAGE, NEWLINE, ACT, THINK, FOLLOW, THOUGHT_END = range(len(SPECIALS))

STATE_BINS = 256
ACTION_BINS = 33
"""Odd, so that one bin is exactly zero."""

MAX_TEXT = 24
MAX_THOUGHT = 24


@dataclass(frozen=True)
class Vocabulary:
    """Token ids by kind; `size` counts the padding."""

    words: tuple[str, ...]
    grid: int

    @property
    def first_grid(self) -> int:
        return len(SPECIALS) + len(self.words)

    @property
    def first_state(self) -> int:
        return self.first_grid + self.grid

    @property
    def first_action(self) -> int:
        return self.first_state + STATE_BINS

    @property
    def used(self) -> int:
        """Number of ids that stand for something."""
        return self.first_action + ACTION_BINS

    @property
    def size(self) -> int:
        """Number of rows of the embedding: padded to a multiple of 64."""
        return -(-self.used // 64) * 64

    def tokenizer(self) -> Tokenizer:
        """A word-level fast tokenizer over these ids; lower case, split at white space."""
        texts = [
            *SPECIALS,
            *self.words,
            *(f"<p{i:02d}>" for i in range(self.grid)),
            *(f"<s{i:03d}>" for i in range(STATE_BINS)),
            *(f"<a{i:02d}>" for i in range(ACTION_BINS)),
        ]
        tokenizer = Tokenizer(models.WordLevel({text: i for i, text in enumerate(texts)}, unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return tokenizer


def ordered_ids(contract: Contract, tokenizer: Tokenizer) -> list[list[int]]:
    """Ranges of ids whose neighbours mean nearly the same: the action bins, and image coordinates `<p00>` if any."""
    grid: list[int] = []
    while (id := tokenizer.token_to_id(f"<p{len(grid):02d}>")) is not None:
        grid.append(id)
    return [ids for ids in (list(contract.action.token_ids), grid) if ids]


def arm_contract(
    vocabulary: Vocabulary, *, name: str, camera: str, image_size: int, instructions: list[str]
) -> Contract:
    """The contract of a policy for the simulated arm: one camera, hand position and gripper, motion and effort."""
    thought_ids = set(range(len(SPECIALS), vocabulary.first_state)) | {THOUGHT_END}
    return Contract(
        name=name,
        vocab_size=vocabulary.size,
        cameras=(Camera(name=camera, height=image_size, width=image_size),),
        state=State(
            dimensions=(
                StateDimension(name="hand_x", unit="m", low=-0.5, high=0.5),
                StateDimension(name="hand_y", unit="m", low=0.4, high=1.0),
                StateDimension(name="hand_z", unit="m", low=0.0, high=0.5),
                StateDimension(name="gripper_opening", unit="1", low=0.0, high=1.0),
            ),
            bins=STATE_BINS,
            first_token_id=vocabulary.first_state,
        ),
        prompt=(
            ImageSegment(camera=camera),
            TokenSegment(id=BOS),
            StateSegment(),
            TextSegment(max_tokens=MAX_TEXT),
            TokenSegment(id=NEWLINE),
        ),
        modalities=Modalities(act=ACT, think=THINK, follow=FOLLOW),
        thought=Thought(
            end_id=THOUGHT_END,
            max_tokens=MAX_THOUGHT,
            suppressed_ids=tuple(sorted(set(range(vocabulary.size)) - thought_ids)),
        ),
        action=Action(
            token_ids=tuple(range(vocabulary.first_action, vocabulary.first_action + ACTION_BINS)),
            bin_centers=tuple(float(c) for c in np.linspace(-1, 1, ACTION_BINS)),
            steps=1,
            step_time=0.0625,
            dimensions=(
                *(_motion(axis) for axis in ("x", "y", "z")),
                ActionDimension(name="gripper", unit="1", low=-1.0, high=1.0, semantics="absolute", frame="gripper"),
            ),
        ),
        instructions=tuple(instructions),
    )


def _motion(axis: str) -> ActionDimension:
    """Motion along one axis during one step: five control steps of 1 cm at most."""
    return ActionDimension(
        name=axis, unit="m", low=-0.05, high=0.05, semantics="delta", frame="world", relative_to="last_setpoint"
    )
