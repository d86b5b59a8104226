"""How weights are rounded: each by itself, by the importance of its column, or with GPTQ's compensation.

importance   a squared error counts as much as the input of its column is large (the mean of its squares)
gptq         the error of a weight is made up for by those still to be rounded (`gptq.py`); it writes q4_0, and
             tensors of other types are rounded by importance

The token embedding is looked up by row and has no inputs: it is always rounded plainly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from hyt.export.families.base import TensorPlan
from hyt.export.quantization.gptq import MOST_COLUMNS, Gptq
from hyt.export.quantization.importance import InputStatistics
from hyt.export.quantization.q4_0 import TYPE
from hyt.export.quantization.rounding import ErrorSum, quantize_rows
from hyt.export.quantization.types import EMBEDDING, MIXED

Method = Literal["plain", "importance", "gptq"]
METHODS: tuple[Method, ...] = get_args(Method)


class Rounder(Protocol):
    """Rounds float32 (n, columns) of one tensor: uint8 (n, bytes of a row) and the error."""

    def __call__(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.uint8], ErrorSum]:
        """Round some rows; called from several threads at once."""


Statistics = Callable[[str], InputStatistics | None]
"""Gives the statistics of a tensor's inputs by its GGUF name; None where nothing went in."""


def default_method(quantization: str) -> Method:
    """The method that keeps most of a policy whose linear matrices are asked to be of a type, or mixed."""
    return "gptq" if quantization in (TYPE, MIXED) else "importance"


def method_of(plan: TensorPlan, type: str, asked: Method) -> Method:
    """The method by which a tensor is rounded to a type when `asked` was asked for."""
    if plan.role == "fixed" or plan.name == EMBEDDING or type in ("f32", "f16"):
        return "plain"
    if asked == "gptq" and (type != TYPE or plan.shape[-1] > MOST_COLUMNS):
        return "importance"
    return asked


def rounder_for(plan: TensorPlan, type: str, asked: Method, statistics: Statistics) -> Rounder:
    """The rounder of one tensor to a type; plain where nothing went into it."""
    method = method_of(plan, type, asked)
    inputs = None if method == "plain" else statistics(plan.name)
    if inputs is None:
        return partial(quantize_rows, type)
    return Gptq(inputs) if method == "gptq" else partial(quantize_rows, type, importance=inputs.importance())
