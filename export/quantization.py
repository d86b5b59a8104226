"""Chooses a type for every tensor, quantises rows through ggml and measures what that costs.

Linear matrices take the type that was asked for; the token embedding, which is the output matrix too, takes q8_0 beside
any 4-bit type; norms, biases, positions and the patch convolution stay float32. Where a row does not divide into blocks
the next type of `FALLBACKS` is taken, and the report says so. Small heads have a request of their own, float32 unless
asked otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from hyt.export.families.base import TensorPlan
from hyt.runtime import _core

REQUESTS = ("q4_0", "q4_k", "q8_0", "f16", "f32")
HEAD_REQUESTS = ("f32", "f16", "q8_0")
FALLBACKS = {"q4_k": "q4_0", "q4_0": "f32", "q8_0": "f32"}
EMBEDDING_TYPES = {"q4_0": "q8_0", "q4_k": "q8_0"}
# ggml searches the best scale of a block for these when it is told how much each column matters.
_SEARCHED = frozenset({"q4_0", "q4_k"})


@dataclass(frozen=True)
class TypeChoice:
    """The type of one tensor; `wanted` and `reason` tell why it is another than the policy wanted, where it is."""

    type: str
    wanted: str
    reason: str = ""


@dataclass
class ErrorSum:
    """Error of a quantisation, added up over `count` weights: relative RMS error and largest absolute error."""

    count: int = 0
    squared_error: float = 0.0
    squared_weight: float = 0.0
    largest: float = 0.0

    def add(self, other: ErrorSum) -> None:
        """Count the rows of `other` too."""
        self.count += other.count
        self.squared_error += other.squared_error
        self.squared_weight += other.squared_weight
        self.largest = max(self.largest, other.largest)

    @property
    def relative(self) -> float:
        """Square root of the summed squared error over the summed squared weight."""
        return float((self.squared_error / self.squared_weight) ** 0.5) if self.squared_weight else 0.0


def ggml_type(name: str) -> GGMLQuantizationType:
    """gguf-py's constant for one of our type names."""
    return GGMLQuantizationType[name.upper()]


def block_size(name: str) -> int:
    """Elements of a row that one block of the type holds."""
    return int(GGML_QUANT_SIZES[ggml_type(name)][0])


def stored_size(name: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor of that type and shape."""
    block, size = GGML_QUANT_SIZES[ggml_type(name)]
    return int(math.prod(shape) // block * size)


def choose_type(plan: TensorPlan, request: str) -> TypeChoice:
    """The type of a tensor when `request`, one of REQUESTS, was asked for."""
    if plan.role == "fixed":
        return TypeChoice("f32", "f32")
    wanted = EMBEDDING_TYPES.get(request, request) if plan.role == "embedding" else request
    type, columns = wanted, plan.shape[-1]
    while columns % block_size(type):
        type = FALLBACKS[type]
    reason = "" if type == wanted else f"rows of {columns} do not divide by {block_size(wanted)}"
    return TypeChoice(type, wanted, reason)


def choose_types(plans: Iterable[TensorPlan], request: str) -> dict[str, TypeChoice]:
    """The choice for every tensor by its GGUF name."""
    return {plan.name: choose_type(plan, request) for plan in plans}


def quantize_rows(type: str, rows: NDArray[np.float32]) -> tuple[NDArray[np.uint8], ErrorSum]:
    """Quantise float32 (n, columns): uint8 (n, bytes of a row) and the error.

    For the searched types each row is quantised with and without an importance of ones, and the better one kept.
    """
    stored, restored = _round_trip(type, rows, None)
    errors = _row_errors(rows, restored)
    if type in _SEARCHED:
        other, other_restored = _round_trip(type, rows, np.ones(rows.shape[1], dtype=np.float32))
        better = _row_errors(rows, other_restored) < errors
        stored[better], restored[better] = other[better], other_restored[better]
        errors = _row_errors(rows, restored)
    largest = float(np.abs(restored - rows).max(initial=0.0))
    weight = float(np.square(rows, dtype=np.float64).sum())
    return stored, ErrorSum(rows.size, float(errors.sum()), weight, largest)


def _round_trip(
    type: str, rows: NDArray[np.float32], importance: NDArray[np.float32] | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    stored = _core.quantize(type, rows, importance)
    return stored.reshape(rows.shape[0], -1), _core.dequantize(type, stored, *rows.shape)


def _row_errors(rows: NDArray[np.float32], restored: NDArray[np.float32]) -> NDArray[np.float64]:
    errors: NDArray[np.float64] = np.square(restored - rows, dtype=np.float64).sum(axis=1)
    return errors
