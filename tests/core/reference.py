"""The reference: transformers run as a HyT policy runs, prefix in both directions, then one token after the other.

case = make_case(shape, seed)                   # a random model, its images, a prefix
reference_logits(case, layout, tokens)          # teacher-forced logits at each generated position
greedy(case, layout, start, allowed, count)     # tokens of the plain greedy loop, with the top-2 margin of each
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from checkpoints import IMAGE, Shape, build_model, contract_data
from numpy.typing import NDArray


@dataclass
class Case:
    """A model, what its cameras see, and its contract's ids."""

    shape: Shape
    model: Any
    images: list[NDArray[np.uint8]]
    contract: dict[str, Any]

    @property
    def patches(self) -> int:
        """Image tokens of one camera."""
        return int((self.shape.image_size // self.shape.patch_size) ** 2)

    def layout(self, seed: int, text_tokens: int) -> NDArray[np.int32]:
        """A random prefix: the images in order, then `text_tokens` ids."""
        rng = np.random.default_rng(seed)
        ids = rng.integers(6, self.shape.tokenizer_size, text_tokens)
        return np.concatenate([-1 - np.arange(len(self.images)), ids]).astype(np.int32)


def make_case(shape: Shape, seed: int) -> Case:
    """A case with random weights and images."""
    rng = np.random.default_rng(seed)
    size = (shape.image_size, shape.image_size, 3)
    images = [rng.integers(0, 256, size, dtype=np.uint8) for _ in range(shape.cameras)]
    return Case(shape, build_model(shape, seed), images, contract_data(shape))


def pixel_values(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """(images, 3, height, width) in -1..1, as SigLIP's processor normalises."""
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return (stacked.float() / 255 - 0.5) / 0.5


def expand_layout(case: Case, layout: Sequence[int]) -> tuple[torch.Tensor, list[int]]:
    """Token ids (1, length) with the image token repeated, and the order in which the layout names the images."""
    ids: list[int] = []
    order: list[int] = []
    for entry in layout:
        if entry >= 0:
            ids.append(int(entry))
        else:
            ids += [IMAGE] * case.patches
            order.append(-1 - int(entry))
    return torch.tensor([ids]), order


class Decoding:
    """A prefix in the reference's cache, and tokens fed behind it one at a time."""

    def __init__(self, case: Case, layout: Sequence[int]) -> None:
        ids, order = expand_layout(case, layout)
        self.model = case.model
        with torch.no_grad():
            # Without labels PaliGemma is bidirectional over all of its input, so only the prefix goes in here.
            out = self.model(
                input_ids=ids,
                pixel_values=pixel_values([case.images[i] for i in order]) if order else None,
                attention_mask=torch.ones_like(ids),
                use_cache=True,
            )
        self.cache = out.past_key_values
        self.length = ids.shape[1]

    def feed(self, token: int) -> torch.Tensor:
        """Logits (vocabulary) behind one more token."""
        with torch.no_grad():
            out = self.model(
                input_ids=torch.tensor([[token]]),
                past_key_values=self.cache,
                attention_mask=torch.ones(1, self.length + 1, dtype=torch.long),
                cache_position=torch.tensor([self.length]),
                use_cache=True,
            )
        self.length += 1
        # transformers' PaliGemma ends before the final soft-cap of Gemma2ForCausalLM; HyT policies are trained with it.
        cap = self.model.config.text_config.final_logit_softcapping
        return cap * torch.tanh(out.logits[0, -1].float() / cap)


def reference_logits(case: Case, layout: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float32]:
    """Logits (tokens, vocabulary) at each of `tokens`, fed one by one behind the prefix."""
    decoding = Decoding(case, layout)
    return np.stack([decoding.feed(int(token)).numpy() for token in tokens])


@dataclass
class Choice:
    """One greedy choice and how far the runner-up was behind it."""

    token: int
    margin: float


def choose(logits: torch.Tensor, allowed: Sequence[int]) -> Choice:
    """The largest logit among the allowed ids."""
    picked = logits[list(allowed)]
    top = picked.topk(2)
    return Choice(int(allowed[int(top.indices[0])]), float(top.values[0] - top.values[1]))


def greedy(decoding: Decoding, start: int, allowed: Sequence[int], count: int, end: int | None = None) -> list[Choice]:
    """At most `count` choices behind `start`; a choice of `end` is the last."""
    choices: list[Choice] = []
    token = start
    while len(choices) < count and (not choices or token != end):
        choices.append(choose(decoding.feed(token), allowed))
        token = choices[-1].token
    return choices
