"""Random action heads, the formula of their numbers, and checkpoints of continuous policies.

head = random_head(hidden, steps=3, dimensions=4, seed=1)      # tensors by their names in action_head.safetensors
head_numbers(head, states)                                     # what it makes of its slots' final hidden states
checkpoint = write_continuous_checkpoint(tmp_path / "tiny")    # a tiny checkpoint with such a head
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from checkpoints import DEFAULT, Checkpoint, Shape, contract_data, write_checkpoint
from safetensors.torch import save_file
from torch.nn import functional

from hyt.runtime.contract import Contract

EPSILON = 1e-5


@dataclass(frozen=True)
class Head:
    """An action head of random weights."""

    hidden: int
    steps: int
    dimensions: int
    width: int
    blocks: int
    tensors: dict[str, torch.Tensor]

    @property
    def layers(self) -> list[str]:
        """Names of its layers, first to last."""
        return ["input", *(f"blocks.{i}" for i in range(self.blocks)), "output"]

    def save(self, path: Path) -> None:
        """Write it as a checkpoint's action_head.safetensors."""
        save_file({name: value.contiguous() for name, value in self.tensors.items()}, path)


def random_head(hidden: int, *, steps: int, dimensions: int, width: int = 40, blocks: int = 2, seed: int = 0) -> Head:
    """Weights large enough that every norm, bias and slot matters."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int, scale: float, around: float = 0.0) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale + around

    head = Head(hidden, steps, dimensions, width, blocks, {})
    head.tensors["slots.weight"] = random(steps * dimensions, hidden, scale=1.6 * hidden**-0.5)
    sizes = [dimensions * hidden, width, *[width] * blocks, dimensions]
    for name, columns, rows in zip(head.layers, sizes, sizes[1:], strict=False):
        head.tensors[f"{name}.norm.weight"] = random(columns, scale=0.2, around=1.0)
        head.tensors[f"{name}.norm.bias"] = random(columns, scale=0.2)
        head.tensors[f"{name}.linear.weight"] = random(rows, columns, scale=columns**-0.5)
        head.tensors[f"{name}.linear.bias"] = random(rows, scale=0.2)
    return head


def head_numbers(head: Head, states: torch.Tensor) -> torch.Tensor:
    """Numbers (steps * dimensions,) of final hidden states (slots, hidden)."""
    t = head.tensors
    rows = []
    for step in range(head.steps):
        h = torch.cat([states[step * head.dimensions + i] for i in range(head.dimensions)])
        for name in head.layers:
            norm = functional.layer_norm(h, h.shape, t[f"{name}.norm.weight"], t[f"{name}.norm.bias"], EPSILON)
            out = t[f"{name}.linear.weight"] @ norm + t[f"{name}.linear.bias"]
            if name == "output":
                rows.append(out)
            else:
                out = functional.gelu(out, approximate="tanh")
                h = out if name == "input" else h + out
    return torch.cat(rows)


def continuous_contract_data(shape: Shape = DEFAULT) -> dict[str, Any]:
    """The contract of `checkpoints` with a continuous action, as plain data."""
    data = contract_data(shape)
    data["action"] |= {"kind": "continuous", "token_ids": [], "bin_centers": []}
    return data


def write_continuous_checkpoint(
    directory: Path, shape: Shape = DEFAULT, *, seed: int = 0, width: int = 40
) -> tuple[Checkpoint, Head]:
    """A random checkpoint of a continuous policy, and its head."""
    checkpoint = write_checkpoint(directory, shape, seed=seed)
    head = random_head(shape.hidden, steps=shape.steps, dimensions=shape.dimensions, width=width, seed=seed)
    # Numbers within [-1, 1], for the most part.
    head.tensors["output.linear.weight"] *= 0.3
    head.save(directory / "action_head.safetensors")
    data = continuous_contract_data(shape)
    (directory / "hyt.json").write_text(json.dumps(data))
    return replace(checkpoint, contract=Contract.model_validate(data)), head
