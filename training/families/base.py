"""What training asks of a model family."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from tokenizers import Tokenizer

from hyt.errors import CheckpointError
from hyt.runtime.contract import Segment, TokenSegment


class Family(Protocol):
    """A family of transformers vision-language models; `model` is always a loaded one of it."""

    model_type: str
    bidirectional_prefix: bool
    """Whether prefix positions see each other in both directions (prefix-LM) or only their past (causal)."""

    def image_tokens(self, config: Any) -> int:
        """Number of positions that one image takes."""

    def image_embeddings(self, model: Any, pixels: torch.Tensor) -> torch.Tensor:
        """Embeddings (N, image_tokens, hidden) of N normalised images (N, 3, H, W)."""

    def decode(self, model: Any, embeddings: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Final hidden states (B, L, hidden) for embeddings (B, L, hidden) under an additive mask (B, 1, L, L)."""

    def logits(self, model: Any, states: torch.Tensor) -> torch.Tensor:
        """Logits (N, vocab) of hidden states (N, hidden)."""

    def prompt(self, tokenizer: Tokenizer, cameras: list[str], *, state: bool, max_text: int) -> list[Segment]:
        """The layout of a prefix that is closest to what checkpoints of this family were trained on."""

    def existing_action_ids(self, text_tokens: int, bins: int) -> range:
        """Ids of rarely used tokens that can stand for action bins; `text_tokens` ids are text."""


def tokens(tokenizer: Tokenizer, text: str) -> list[TokenSegment]:
    """Fixed tokens of a prompt: of one special token, or of a text; raises CheckpointError when there are none."""
    special = tokenizer.token_to_id(text)
    ids = [special] if special is not None else tokenizer.encode(text, add_special_tokens=False).ids
    if not ids:
        raise CheckpointError("tokenizer.json", expected=f"tokens for {text!r}", received="none")
    return [TokenSegment(id=id) for id in ids]
