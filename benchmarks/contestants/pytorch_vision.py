"""The image encoder and projector in PyTorch: transformers' SigLIP of the same shape, with random weights."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from transformers import SiglipVisionConfig, SiglipVisionModel

from hyt.runtime.manifest import VisionShapes


def is_siglip(shapes: VisionShapes) -> bool:
    """Whether transformers' SigLIP is that encoder."""
    plain = not (shapes.class_token or shapes.registers or shapes.pre_norm or shapes.layer_scale)
    return plain and shapes.second is None


class Vision(torch.nn.Module):
    """Images, uint8 (n, size, size, 3), to image tokens, float32 (n, tokens, width)."""

    def __init__(self, shapes: VisionShapes) -> None:
        super().__init__()
        config = SiglipVisionConfig(
            hidden_size=shapes.hidden_size,
            intermediate_size=shapes.intermediate_size,
            num_hidden_layers=shapes.layers,
            num_attention_heads=shapes.heads,
            image_size=shapes.image_size,
            patch_size=shapes.patch_size,
            layer_norm_eps=shapes.norm_epsilon,
            vision_use_head=False,
        )
        config._attn_implementation = "sdpa"
        self._tower = SiglipVisionModel(config)
        widths = (shapes.hidden_size, *shapes.projector_widths, shapes.projection_dim)
        maps = [torch.nn.Linear(before, after) for before, after in itertools.pairwise(widths)]
        between = [module for linear in maps for module in (torch.nn.GELU(), linear)]
        self._projector = torch.nn.Sequential(*between[1:])
        self.register_buffer("_mean", 255 * torch.tensor(shapes.image_mean))
        self.register_buffer("_std", 255 * torch.tensor(shapes.image_std))

    def forward(self, images: np.ndarray) -> torch.Tensor:
        """Encode."""
        pixels = (torch.from_numpy(images).float() - self._mean) / self._std
        hidden = self._tower(pixels.permute(0, 3, 1, 2).contiguous()).last_hidden_state
        tokens: torch.Tensor = self._projector(hidden)
        return tokens
