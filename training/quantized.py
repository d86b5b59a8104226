"""Q4_0 rounding of a model's linear weights in the forward pass, gradients passed straight through.

Fitting the last steps so lets the weights settle where INT4 represents them; ggml's Q4_0 has one fp16 scale for each
block of 32 weights along a row, levels -8 .. 7, and the scale is the block's largest-magnitude weight over -8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

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


class Q4Simulation:
    """Rounds the weights of every linear layer that the exporter stores as Q4_0 (not the embedding, not the head)."""

    def __init__(self, model: torch.nn.Module) -> None:
        head = getattr(model, "lm_head", None)
        self._layers = [
            layer
            for layer in model.modules()
            if isinstance(layer, torch.nn.Linear) and layer is not head and layer.weight.shape[1] % BLOCK == 0
        ]
        self._on = False

    def switch(self, on: bool) -> None:
        """Round in every forward pass from now on, or stop; the weights themselves are never changed."""
        if on != self._on:
            self._on = on
            for layer in self._layers:
                if on:
                    layer.forward = partial(_rounded_linear, layer)  # type: ignore[method-assign]
                else:
                    del layer.forward

    @contextmanager
    def switched(self, on: bool) -> Iterator[None]:
        """`switch(on)` within the context, then as it was."""
        before = self._on
        self.switch(on)
        try:
            yield
        finally:
            self.switch(before)


def _rounded_linear(layer: torch.nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    """The layer's output with rounded weights; the gradient passes to the weights as if they were not rounded."""
    weight = layer.weight
    return torch.nn.functional.linear(inputs, weight + (round_to_q4_0(weight) - weight).detach(), layer.bias)
