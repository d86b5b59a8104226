"""PaliGemma (Gemma decoder) and PaliGemma 2 (Gemma 2 decoder): SigLIP, linear projector, prefix-LM."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer

from hyt.runtime.contract import ImageSegment, Segment, StateSegment, TextSegment
from hyt.training.families.base import tokens


class PaliGemma:
    """Both generations; they differ only in the decoder's own configuration."""

    model_type = "paligemma"
    bidirectional_prefix = True

    def image_tokens(self, config: Any) -> int:
        vision = config.vision_config
        return int(vision.image_size // vision.patch_size) ** 2

    def image_embeddings(self, model: Any, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = model.model.get_image_features(pixels)
        return features

    def decode(self, model: Any, embeddings: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        decoder = model.model.language_model
        layered = decoder.config.model_type == "gemma2"
        output = decoder(
            inputs_embeds=embeddings,
            attention_mask={"full_attention": mask, "sliding_attention": mask} if layered else mask,
            position_ids=positions,
            use_cache=False,
        )
        states: torch.Tensor = output.last_hidden_state
        return states

    def logits(self, model: Any, states: torch.Tensor) -> torch.Tensor:
        """With Gemma 2's final soft-cap, which transformers' PaliGemma leaves out."""
        logits: torch.Tensor = model.lm_head(states)
        cap = getattr(model.config.text_config, "final_logit_softcapping", None)
        return cap * torch.tanh(logits / cap) if cap else logits

    def prompt(self, tokenizer: Tokenizer, cameras: list[str], *, state: bool, max_text: int) -> list[Segment]:
        """`IMAGES <bos> STATE TEXT newline`, PaliGemma's own order."""
        return [
            *(ImageSegment(camera=camera) for camera in cameras),
            *tokens(tokenizer, "<bos>"),
            *([StateSegment()] if state else []),
            TextSegment(max_tokens=max_text),
            *tokens(tokenizer, "\n"),
        ]

    def existing_action_ids(self, text_tokens: int, bins: int) -> range:
        """The ids before V - 4000, V the size of the tokenizer, as public PaliGemma policies take them."""
        return range(text_tokens - 4000 - bins, text_tokens - 4000)
