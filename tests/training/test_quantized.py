"""Rounding in training is ggml's Q4_0, by gguf-py's own implementation."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch

from hyt.training.quantized import q4_0_weights, round_to_q4_0


@pytest.mark.parametrize("shape", [(1, 32), (7, 64), (33, 96)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_rounding_equals_the_format(shape: tuple[int, int], scale: float) -> None:
    weight = np.random.default_rng([*shape, int(scale * 1000)]).normal(0, scale, shape).astype(np.float32)
    weight[0, :32] = 0.0
    expected = gguf.dequantize(gguf.quantize(weight, gguf.GGMLQuantizationType.Q4_0), gguf.GGMLQuantizationType.Q4_0)
    np.testing.assert_array_equal(round_to_q4_0(torch.from_numpy(weight)).numpy(), expected)


def test_layers_are_rounded_within_the_context_and_restored_after_it() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
    inputs = torch.randn(5, 32)
    plain = model(inputs)
    with q4_0_weights(model):
        rounded = model(inputs)
    hidden = torch.tanh(torch.nn.functional.linear(inputs, round_to_q4_0(model[0].weight), model[0].bias))
    torch.testing.assert_close(rounded, model[2](hidden))
    assert not torch.equal(plain, rounded)
    assert torch.equal(plain, model(inputs))
