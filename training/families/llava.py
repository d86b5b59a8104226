"""LLaVA 1.5 (Llama decoder): CLIP, MLP projector, causal."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer

from hyt.runtime.contract import ImageSegment, Segment, StateSegment, TextSegment
from hyt.training.families.base import tokens


class Llava:
    """`llava-hf` checkpoints."""

    model_type = "llava"
    bidirectional_prefix = False

    def image_tokens(self, config: Any) -> int:
        patches = int(config.vision_config.image_size // config.vision_config.patch_size) ** 2
        return patches + int(config.vision_feature_select_strategy == "full")

    def image_embeddings(self, model: Any, pixels: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(model.model.get_image_features(pixels)))

    def decode(self, model: Any, embeddings: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        output = model.model.language_model(
            inputs_embeds=embeddings, attention_mask=mask, position_ids=positions, use_cache=False
        )
        states: torch.Tensor = output.last_hidden_state
        return states

    def logits(self, model: Any, states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model.lm_head(states)
        return logits

    def prompt(self, tokenizer: Tokenizer, cameras: list[str], *, state: bool, max_text: int) -> list[Segment]:
        """`<s>USER: IMAGES\\nSTATE TEXT ASSISTANT:`, as the chat model was trained."""
        return [
            *tokens(tokenizer, "<s>"),
            *tokens(tokenizer, "USER:"),
            *(ImageSegment(camera=camera) for camera in cameras),
            *tokens(tokenizer, "\n"),
            *([StateSegment()] if state else []),
            TextSegment(max_tokens=max_text),
            *tokens(tokenizer, "ASSISTANT:"),
        ]

    def existing_action_ids(self, text_tokens: int, bins: int) -> range:
        """The last ids of the text vocabulary, its rarest tokens, as in OpenVLA."""
        return range(text_tokens - bins, text_tokens)
