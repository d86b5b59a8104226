"""Small PaliGemma-2-architecture models from random init, made for learning positions quickly.

The architecture is transformers' own (SigLIP, linear projector, Gemma 2). Ordered tokens (state, action, grid) and
patch positions start as smooth waves instead of noise: neighbours begin alike, which random rows would first have to
learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import Gemma2Config, PaliGemmaConfig, PaliGemmaForConditionalGeneration, SiglipVisionConfig

from hyt.training.vocabulary import ACTION_BINS, BOS, EOS, IMAGE, PAD, STATE_BINS, Vocabulary


@dataclass(frozen=True)
class Size:
    """Widths and depths of a model; `head_dim` equals Gemma's query scale, so that stock llama.cpp agrees."""

    hidden: int = 256
    layers: int = 5
    heads: int = 8
    kv_heads: int = 4
    head_dim: int = 32
    feed_forward: int = 640
    vision_hidden: int = 192
    vision_layers: int = 3
    vision_heads: int = 6
    vision_feed_forward: int = 512
    patch: int = 16
    context: int = 256


SIZES = {
    "small": Size(),
    "tiny": Size(
        hidden=128,
        layers=4,
        heads=4,
        kv_heads=2,
        head_dim=32,
        feed_forward=384,
        vision_hidden=128,
        vision_layers=2,
        vision_heads=4,
        vision_feed_forward=320,
    ),
}
"""By name: the shipped policy's, and one for studies that train many policies on few cores."""


def model_config(size: Size, vocabulary: Vocabulary, image_size: int) -> PaliGemmaConfig:
    """A model's configuration; the sliding window spans the context, as PaliGemma's prefix path does not apply it."""
    text: dict[str, Any] = {
        "vocab_size": vocabulary.size,
        "hidden_size": size.hidden,
        "intermediate_size": size.feed_forward,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head_dim,
        "query_pre_attn_scalar": size.head_dim,
        "max_position_embeddings": size.context,
        "sliding_window": size.context,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    vision: dict[str, Any] = {
        "hidden_size": size.vision_hidden,
        "intermediate_size": size.vision_feed_forward,
        "num_hidden_layers": size.vision_layers,
        "num_attention_heads": size.vision_heads,
        "image_size": image_size,
        "patch_size": size.patch,
        "vision_use_head": False,
        "projection_dim": size.hidden,
    }
    config = PaliGemmaConfig(
        text_config=Gemma2Config(**text).to_dict() | {"model_type": "gemma2"},
        vision_config=SiglipVisionConfig(**vision).to_dict() | {"model_type": "siglip_vision_model"},
        image_token_index=IMAGE,
        projection_dim=size.hidden,
        hidden_size=size.hidden,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    # "eager": the other implementations ignore Gemma 2's attention soft-cap.
    config._attn_implementation = "eager"
    return config


def build_model(config: PaliGemmaConfig, vocabulary: Vocabulary, seed: int) -> PaliGemmaForConditionalGeneration:
    """A randomly initialised model, ordered tokens and patch positions as waves; the same for the same seed."""
    torch.manual_seed(seed)
    model = PaliGemmaForConditionalGeneration(config)
    model.config._attn_implementation = "eager"
    scale = model.config.text_config.initializer_range
    random = np.random.default_rng(seed)
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        ranges = (
            (vocabulary.first_grid, vocabulary.grid),
            (vocabulary.first_state, STATE_BINS),
            (vocabulary.first_action, ACTION_BINS),
        )
        for first, count in ranges:
            table[first : first + count] = torch.from_numpy(scale * waves(count, table.shape[1], random))
        positions = model.model.vision_tower.vision_model.embeddings.position_embedding.weight
        side = int(positions.shape[0] ** 0.5)
        half = positions.shape[1] // 2
        rows = np.repeat(waves(side, half, random), side, axis=0)
        columns = np.tile(waves(side, positions.shape[1] - half, random), (side, 1))
        positions.copy_(torch.from_numpy(0.2 * np.concatenate([rows, columns], axis=1)))
    return model


def waves(count: int, width: int, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Random smooth features (count, width) of unit scale: cosines of the position with up to count / 4 periods."""
    position = np.arange(count)[:, None] / count
    periods = np.exp(random.uniform(np.log(0.25), np.log(max(count / 4, 0.5)), width))
    phases = random.random(width)
    features: npt.NDArray[np.float32] = np.sqrt(2) * np.cos(2 * np.pi * (position * periods + phases))
    return features.astype(np.float32)
