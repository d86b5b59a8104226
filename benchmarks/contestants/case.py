"""The work that every contestant does: a prefix of token ids, then an action or a thought, greedily."""

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

    def as_dict(self) -> dict[str, Any]:
        """For a pipe."""
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """Tokens, and seconds by phase: prefill (the prefix, whatever is computed with it) and decode."""

    tokens: list[int]
    prefill: float
    decode: float


class Contestant(Protocol):
    """An engine with one case loaded; a new prefix at each call, nothing of the last one may be used."""

    def act(self, prefix: list[int]) -> Answer:
        """The action tokens behind this prefix and the tag."""

    def think(self, prefix: list[int]) -> Answer:
        """As many tokens as the case's thought has."""


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
    )
