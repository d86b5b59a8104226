"""What training asks of a model family."""

from __future__ import annotations

from typing import Any, Protocol

import torch


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
