"""The least that a machine has to do for each phase of an answer, and so the least time that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gguf import GGMLQuantizationType, GGUFReader

from contestants.case import Case
from contestants.ceilings import Ceilings
from hyt.runtime.bundle import Bundle
from hyt.runtime.manifest import TextShapes, VisionShapes

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
FLOATS = (GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16)
CACHE_BYTES = 4  # of a key's or value's element


@dataclass(frozen=True)
class Work:
    """Operations of products with quantised matrices, all others, and bytes that are read."""

    int8: float = 0
    float32: float = 0
    read: float = 0

    def seconds(self, ceilings: Ceilings) -> float:
        """Arithmetic in turn, or reading, whichever takes longer."""
        arithmetic = self.int8 / ceilings.int8_per_second + self.float32 / ceilings.float32_per_second
        return max(arithmetic, self.read / ceilings.bytes_per_second)


@dataclass(frozen=True)
class Matrix:
    """A tensor of at least two axes."""

    elements: int
    bytes: int
    quantised: bool


def work_of(bundle: Bundle, case: Case) -> dict[str, dict[str, Work]]:
    """Work by task and phase; the prefix is fed once, every decoded token is a pass of one row."""
    text, vision = bundle.manifest.shapes.text, bundle.manifest.shapes.vision
    matrices, small = _tensors(bundle.language)
    embedding = matrices.pop(EMBEDDING)
    head = matrices.pop(OUTPUT, embedding)
    layers = sum(matrix.bytes for matrix in matrices.values()) + small
    rows = head.bytes * len(case.action_ids) / case.vocabulary
    prefill = _prefill(matrices, text, case)
    act = {"prefill": prefill, "decode": _decode(layers + rows, text, case, case.action_tokens)}
    work = {"act": act, "whole": {"vision": _vision(bundle.vision, vision, case.images), **act}}
    if case.thought:
        work["think"] = {"prefill": prefill, "decode": _decode(layers + head.bytes, text, case, case.thought)}
    return work


def shares(
    work: Mapping[str, Mapping[str, Work]], medians: Mapping[str, Mapping[str, float]], ceilings: Ceilings
) -> dict[str, dict[str, float]]:
    """Least seconds over median seconds, by task and phase; of `total` the least ones of all its phases together."""
    found: dict[str, dict[str, float]] = {}
    for task, phases in medians.items():
        least = {phase: one.seconds(ceilings) for phase, one in work[task].items()}
        least["total"] = sum(least.values())
        found[task] = {phase: round(least[phase] / median, 4) for phase, median in phases.items()}
    return found


def _tensors(path: Path) -> tuple[dict[str, Matrix], int]:
    """Matrices by name, and the bytes of all else."""
    matrices, small = {}, 0
    for tensor in GGUFReader(path).tensors:
        if len(tensor.shape) < 2:
            small += int(tensor.n_bytes)
        else:
            quantised = tensor.tensor_type not in FLOATS
            matrices[tensor.name] = Matrix(int(tensor.n_elements), int(tensor.n_bytes), quantised)
    return matrices, small


def _products(matrices: Mapping[str, Matrix], positions: int) -> tuple[float, float]:
    """Operations with quantised and with other matrices."""
    sums = {True: 0, False: 0}
    for matrix in matrices.values():
        sums[matrix.quantised] += 2 * positions * matrix.elements
    return sums[True], sums[False]


def _prefill(matrices: Mapping[str, Matrix], text: TextShapes, case: Case) -> Work:
    """Of the last layer only keys and values are wanted."""
    last = f"blk.{text.layers - 1}."
    wanted = {
        name: matrix
        for name, matrix in matrices.items()
        if not name.startswith(last) or "attn_k." in name or "attn_v." in name
    }
    int8, float32 = _products(wanted, case.prefix)
    pairs = case.prefix * (case.prefix + 1) / 2 if case.causal else case.prefix**2
    attention = (text.layers - 1) * 4 * pairs * text.heads * text.head_dim
    read = sum(matrix.bytes for matrix in wanted.values())
    return Work(int8, float32 + attention, read)


def _decode(weights: float, text: TextShapes, case: Case, passes: int) -> Work:
    """All weights are read in every pass, and keys and values of all positions before."""
    position = 2 * text.layers * text.kv_heads * text.head_dim * CACHE_BYTES
    seen = passes * case.prefix + passes * (passes + 1) / 2
    return Work(read=passes * weights + seen * position)


def _vision(path: Path, shapes: VisionShapes, images: int) -> Work:
    matrices, _ = _tensors(path)
    matrices = {name: matrix for name, matrix in matrices.items() if "position" not in name}
    int8, float32 = _products(matrices, shapes.tokens)
    attention = sum(4 * shapes.tokens**2 * tower.hidden_size * tower.layers for tower in shapes.towers)
    read = sum(matrix.bytes for matrix in matrices.values())
    return Work(images * int8, images * (float32 + attention), read)
