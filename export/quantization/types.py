"""Chooses the type of every tensor from what was asked for, its role and the length of its rows.

Linear matrices take the type that was asked for; the token embedding and an output matrix of its own take q8_0 beside
any smaller type, or q6_k where they are large, unless they are asked for by themselves; norms, biases, positions and
the patch convolution stay float32. Where a row does not divide into blocks the next type of `FALLBACKS` is taken, and
the report says so. Small heads have a request of their own, float32 unless asked otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from hyt.errors import InputError
from hyt.export.families.base import TensorPlan

REQUESTS = ("q4_0", "q4_1", "q4_k", "iq4_nl", "iq4_xs", "q5_0", "q5_k", "q6_k", "q8_0", "f16", "f32")
MIXED = "mixed"
"""In place of one type: each matrix has one of its own, within a budget (`mixed.py`)."""
HEAD_REQUESTS = ("f32", "f16", "q8_0")
FALLBACKS = {
    "q4_k": "q4_0", "iq4_xs": "iq4_nl", "q5_k": "q5_0", "q6_k": "q8_0",
    "q4_0": "f32", "q4_1": "f32", "iq4_nl": "f32", "q5_0": "f32", "q8_0": "f32",
}  # fmt: skip
LARGE_TYPES = frozenset({"q8_0", "f16", "f32"})
"""Types that the embedding takes as well when they are asked for; beside any other it takes q8_0 or q6_k."""
LARGE_EMBEDDING = 2**28
"""Weights: from here on an embedding takes q6_k, with which the answers stay those of q8_0 (ARCHITECTURE.md)."""

EMBEDDING = "token_embd.weight"
OUTPUT = "output.weight"


@dataclass(frozen=True)
class Request:
    """What a bundle's tensors are asked to be.

    linear:    one of REQUESTS, for linear matrices, or MIXED
    embedding: one of REQUESTS, for the token embedding, which may be the output matrix too; None leaves it to `linear`
    output:    the same for the output matrix of a model that has one of its own
    head:      one of HEAD_REQUESTS, for the matrices of a continuous policy's action head
    """

    linear: str = "q4_0"
    embedding: str | None = None
    output: str | None = None
    head: str = "f32"

    def __post_init__(self) -> None:
        """Raise InputError for a type that is none of ours."""
        asked = (
            ("quantization", None if self.linear == MIXED else self.linear, REQUESTS),
            ("embedding type", self.embedding, REQUESTS),
            ("output type", self.output, REQUESTS),
            ("head quantization", self.head, HEAD_REQUESTS),
        )
        for name, type, known in asked:
            if type is not None and type not in known:
                raise InputError(name, expected=f"one of {', '.join(known)}", received=repr(type))

    def options(self) -> dict[str, str]:
        """The options of the command line that say the same."""
        options = {"--quantization": self.linear}
        if self.head != "f32":
            options["--head-quantization"] = self.head
        for option, type in (("--embedding-type", self.embedding), ("--output-type", self.output)):
            if type is not None:
                options[option] = type
        return options

    def wanted(self, plan: TensorPlan) -> str:
        """The type that is wanted for a tensor of the language or vision part."""
        if plan.role == "fixed":
            return "f32"
        if plan.role == "linear":
            return self.linear
        own = self.output if plan.name == OUTPUT else self.embedding
        small = "q6_k" if math.prod(plan.shape) >= LARGE_EMBEDDING else "q8_0"
        return own or (self.linear if self.linear in LARGE_TYPES else small)


@dataclass(frozen=True)
class TypeChoice:
    """The type of one tensor; `wanted` and `reason` tell why it is another than was wanted, where it is."""

    type: str
    wanted: str
    reason: str = ""


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


def fitting_type(plan: TensorPlan, wanted: str) -> TypeChoice:
    """`wanted`, or the first of its fallbacks whose blocks divide the tensor's rows."""
    type, columns = wanted, plan.shape[-1]
    while columns % block_size(type):
        type = FALLBACKS[type]
    reason = "" if type == wanted else f"rows of {columns} do not divide by {block_size(wanted)}"
    return TypeChoice(type, wanted, reason)


def choose_types(plans: Iterable[TensorPlan], request: Request) -> dict[str, TypeChoice]:
    """The choice for every tensor of the language and vision part by its GGUF name."""
    return {plan.name: fitting_type(plan, request.wanted(plan)) for plan in plans}


def choose_head_types(plans: Iterable[TensorPlan], request: Request) -> dict[str, TypeChoice]:
    """The choice for every tensor of head.gguf."""
    return {plan.name: fitting_type(plan, request.head if plan.role == "linear" else "f32") for plan in plans}
