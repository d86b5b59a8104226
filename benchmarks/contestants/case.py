"""The work that every contestant does: a prefix of token ids, then an action or a thought, greedily; or a whole act."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hyt.runtime.bundle import open_bundle
from hyt.runtime.prompt import Prompt, read_tokenizer


@dataclass(frozen=True)
class Case:
    """One bundle's language part.

    prefix:        positions before the modality tag, image tokens counted; token ids stand for all of them, so that
                   every engine can be given the same and must say the same
    causal:        whether the prefix is read causally, else each of its positions sees all of them
    action_tokens: tokens of one action, each among `action_ids`
    thought:       tokens of a thought, chosen among the whole vocabulary
    images:        of an observation, uint8 (size, size, 3) each
    layout:        the policy's own prefix, -1 - i where image i stands: that of a whole act
    """

    name: str
    bundle: str
    language: str
    vocabulary: int
    prefix: int
    tag: int
    action_tokens: int
    action_ids: tuple[int, ...]
    causal: bool
    thought: int
    images: int
    size: int
    layout: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """For a pipe."""
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """Tokens, and seconds by phase: vision, prefill (the prefix, whatever is computed with it) and decode.

    A phase that was not run is None.
    """

    tokens: list[int]
    prefill: float | None = None
    decode: float | None = None
    vision: float | None = None

    @property
    def seconds(self) -> dict[str, float]:
        """By phase that was run, and all of them together, `total`; of an answer without tokens no total."""
        phases = {"vision": self.vision, "prefill": self.prefill, "decode": self.decode}
        run = {phase: seconds for phase, seconds in phases.items() if seconds is not None}
        return run if self.decode is None else {**run, "total": sum(run.values())}


class Contestant(Protocol):
    """An engine with one case loaded; a new prefix at each call, nothing of the last one may be used."""

    def act(self, prefix: list[int]) -> Answer:
        """The action tokens behind this prefix and the tag."""

    def think(self, prefix: list[int]) -> Answer:
        """As many tokens as the case's thought has."""

    def whole(self, prefix: list[int]) -> Answer:
        """From new images to action tokens; the ids are the images' seed (`frame`), or stand for all of the prefix."""


def frame(case: Case, prefix: list[int]) -> np.ndarray:
    """Random images, uint8 (images, size, size, 3), the same for every contestant."""
    return np.random.default_rng(prefix).integers(0, 256, (case.images, case.size, case.size, 3), np.uint8)


def case_of(path: Path, thought: int) -> Case:
    """The case of a bundle with action tokens; its prefix is as long as with the first instruction it lists."""
    bundle = open_bundle(path)
    contract = bundle.contract
    prompt = Prompt(contract, read_tokenizer(bundle.tokenizer, contract))
    state = np.zeros(len(contract.state.dimensions) if contract.state else 0, dtype=np.float32)
    layout = prompt.layout(prompt.encode(contract.instructions[0]), state)
    text = bundle.manifest.shapes.text
    return Case(
        name=contract.name,
        bundle=str(path),
        language=str(bundle.language),
        vocabulary=contract.vocab_size,
        prefix=int((layout >= 0).sum()) + sum(bundle.manifest.image_tokens.values()),
        tag=contract.modalities.act,
        action_tokens=contract.action.tokens,
        action_ids=tuple(contract.action.token_ids),
        causal=text.prefix_attention == "causal",
        thought=thought,
        images=contract.image_count,
        size=bundle.manifest.shapes.vision.image_size,
        layout=tuple(layout.tolist()),
    )
