"""Q4_0 rounding of a model's linear weights, to see during a fit what INT4 will cost.

ggml's Q4_0 has one fp16 scale for each block of 32 weights along a row, levels -8 .. 7, and the scale is the block's
largest-magnitude weight over -8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

BLOCK = 32


def round_to_q4_0(weight: torch.Tensor) -> torch.Tensor:
    """`weight` (rows, columns) as Q4_0 would give it back; columns must be a multiple of 32."""
    blocks = weight.reshape(-1, BLOCK)
    largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scale = largest / -8
    inverse = torch.where(scale == 0, torch.zeros_like(scale), 1 / scale)
    levels = torch.floor(blocks * inverse + 8.5).clamp(0, 15) - 8
    return (levels * scale.half().float()).reshape(weight.shape)


@contextmanager
def q4_0_weights(model: torch.nn.Module) -> Iterator[None]:
    """Within the context, every linear layer that the exporter stores as Q4_0 has rounded weights (not the head)."""
    head = getattr(model, "lm_head", None)
    layers = [
        layer
        for layer in model.modules()
        if isinstance(layer, torch.nn.Linear) and layer is not head and layer.weight.shape[1] % BLOCK == 0
    ]
    kept = [layer.weight.data for layer in layers]
    for layer in layers:
        layer.weight.data = round_to_q4_0(layer.weight.data)
    try:
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.weight.data = weight
