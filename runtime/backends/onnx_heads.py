"""The small heads of head.gguf in NumPy: the gate, and the head of a continuous action (csrc/include/hyt says what they
compute)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from gguf import GGUFReader, quants
from numpy.typing import NDArray

from hyt.errors import BundleError
from hyt.runtime.contract import Action

_HALF_PI_ROOT = math.sqrt(2 / math.pi)


class HeadFile:
    """The tensors and numbers of head.gguf; raises BundleError for a file that is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            reader = GGUFReader(path)
            tensors = reader.tensors
            self._tensors = {t.name: quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in tensors}
            self._numbers = {
                name: float(field.parts[-1][0]) for name, field in reader.fields.items() if _is_number(field)
            }
        except Exception as problem:  # gguf-py raises whatever it stumbles over
            raise BundleError(str(path), expected="a GGUF file", received=str(problem)[:200]) from None

    def tensor(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A tensor of this shape, finite; raises BundleError."""
        found = self._tensors.get(name)
        received = "none" if found is None else str(found.shape)
        if found is None or found.size != math.prod(shape) or found.shape[-1] != shape[-1]:
            raise BundleError(f"{self._path}: tensor {name}", expected=f"shape {shape}", received=received)
        if not np.isfinite(found).all():
            raise BundleError(f"{self._path}: tensor {name}", expected="finite weights", received="NaN or infinity")
        return np.asarray(found.reshape(shape), np.float32)

    def number(self, key: str) -> float:
        """A number among the keys; raises BundleError."""
        if key not in self._numbers:
            raise BundleError(f"{self._path}: key {key}", expected="a number", received="none")
        return self._numbers[key]


class Gate:
    """probability = sigmoid(down . relu(up state + up_bias) + down_bias), in double, inside (0, 1)."""

    def __init__(self, file: HeadFile, hidden: int, units: int) -> None:
        self._up = file.tensor("gate.up.weight", units, hidden).astype(np.float64)
        self._up_bias = file.tensor("gate.up.bias", units).astype(np.float64)
        self._down = file.tensor("gate.down.weight", units).astype(np.float64)
        self._down_bias = float(file.tensor("gate.down.bias", 1)[0])

    def probability(self, state: NDArray[np.float32]) -> float:
        """Of the decoder's output at an act tag, (hidden,)."""
        units = np.maximum(self._up @ state.astype(np.float64) + self._up_bias, 0)
        logit = float(self._down @ units) + self._down_bias
        value = np.float32(1 / (1 + math.exp(-min(max(logit, -700.0), 700.0))))
        return float(np.clip(value, np.finfo(np.float32).tiny, np.nextafter(np.float32(1), np.float32(0))))


class ActionHead:
    """From the final hidden states of a chunk's slots to its numbers."""

    def __init__(self, file: HeadFile, hidden: int, action: Action) -> None:
        dimensions, width = len(action.dimensions), int(file.number("hyt.action.width"))
        self._epsilon = file.number("hyt.action.norm_epsilon")
        self._steps = action.steps
        self.slots = file.tensor("action.slots.weight", action.size, hidden)
        names = ["input", *(f"blocks.{i}" for i in range(int(file.number("hyt.action.blocks")))), "output"]
        sizes = [dimensions * hidden, *[width] * (len(names) - 1), dimensions]
        self._layers = [
            (
                file.tensor(f"action.{name}.norm.weight", columns),
                file.tensor(f"action.{name}.norm.bias", columns),
                file.tensor(f"action.{name}.linear.weight", rows, columns),
                file.tensor(f"action.{name}.linear.bias", rows),
            )
            for name, columns, rows in zip(names, sizes, sizes[1:], strict=False)
        ]

    def values(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """states (slots, hidden) -> float32 (slots,), -1 to 1 over each dimension's range, not clipped."""
        x = states.reshape(self._steps, -1)
        h = _gelu(self._projected(0, x))
        for i in range(1, len(self._layers) - 1):
            h = h + _gelu(self._projected(i, h))
        return self._projected(len(self._layers) - 1, h).reshape(-1)

    def _projected(self, index: int, x: NDArray[np.float32]) -> NDArray[np.float32]:
        weight, bias, matrix, offset = self._layers[index]
        centred = x - x.mean(axis=-1, keepdims=True)
        normed = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(self._epsilon))
        return np.asarray((normed * weight + bias) @ matrix.T + offset, np.float32)


def _gelu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The tanh form."""
    return np.asarray(0.5 * x * (1 + np.tanh(_HALF_PI_ROOT * (x + 0.044715 * x**3))), np.float32)


def _is_number(field: object) -> bool:
    parts = getattr(field, "parts", [])
    return bool(len(parts)) and parts[-1].dtype.kind in "uif" and parts[-1].size == 1
