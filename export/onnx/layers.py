"""The layers that all graphs are built of; what the two variants write differently is left open here.

A variant is a set of operators: `fused.py` takes those that onnxruntime has kernels for, `plain.py` those of the ONNX
standard alone, which TensorRT reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hyt.export.onnx.gguf_tensors import Blocks, GgufTensors
from hyt.export.onnx.graph import FLOAT, UINT8, Graph
from hyt.export.onnx.weight_file import Part, WeightFile


@dataclass(frozen=True)
class Attention:
    """What an attention needs to know: heads of queries, of keys and values, their width, scale and soft-cap (0: none);
    cells: positions of the cache;
    angles: radians (cells, head_dim / 2) by which each pair of a head is turned at each position; pairs: rotary halves
    are neighbours; full: a call may see all its positions."""

    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    softcap: float
    cells: int
    angles: NDArray[np.float64]
    pairs: bool
    full: bool


class Layers(ABC):
    """Adds layers to `graph`, with weights of `tensors`, kept in `weights`.

    in_place: the cache's output may be the memory of its input
    """

    in_place: ClassVar[bool]

    def __init__(self, graph: Graph, tensors: GgufTensors, weights: WeightFile, activations: str = "int8") -> None:
        """activations: what quantised weights are multiplied with, where the operators can say it."""
        self.graph, self.tensors, self.weights, self.activations = graph, tensors, weights, activations

    @abstractmethod
    def product(self, x: str, names: Sequence[str], columns: int, chosen: Sequence[int] | None = None) -> str:
        """x (..., columns) times the rows of matrices of one type, one below the other, or of the `chosen` of them."""

    @abstractmethod
    def embedding(self, ids: str, name: str) -> str:
        """Rows of a matrix: ids (1, n) -> (1, n, columns)."""

    @abstractmethod
    def image_attention(self, q: str, k: str, v: str, heads: int, head_dim: int) -> str:
        """Attention of every row to every row of the same image: three times (images, n, hidden) -> one."""

    @abstractmethod
    def begin_steps(self, attention: Attention) -> None:
        """Declare the inputs that say where the fed positions stand and what they see."""

    @abstractmethod
    def rotate(self, x: str, heads: int) -> str:
        """Rotary embedding of (1, n, heads * head_dim)."""

    @abstractmethod
    def cached_attention(self, layer: int, q: str, k: str, v: str) -> str:
        """Attention over the cache of `layer` after k and v were put into it: (1, n, heads * head_dim)."""

    def linear(self, x: str, names: Sequence[str], columns: int) -> list[str]:
        """Affine maps of one input (names without .weight and .bias); those of one type as one product."""
        found: list[str] = []
        for _, group in groupby(names, key=lambda name: self.tensors.bits(f"{name}.weight")):
            members = list(group)
            weights = [f"{name}.weight" for name in members]
            y = self.product(x, weights, columns)
            if f"{members[0]}.bias" in self.tensors:
                biases = np.concatenate([self.tensors.floats(f"{name}.bias") for name in members])
                y = self.graph.op("Add", y, self.graph.array("+".join(members) + ".bias", biases))
            found += self.graph.split(y, [self.tensors.shape(weight)[0] for weight in weights])
        return found

    def rms_norm(self, x: str, name: str, epsilon: float) -> str:
        """x / sqrt(mean(x ** 2) + epsilon) * weight, in the operators that onnxruntime fuses."""
        g = self.graph
        squares = g.op("Pow", x, g.array("two", np.array(2, np.float32)))
        mean = g.op("ReduceMean", squares, g.array("last_axis", np.array([-1])), keepdims=1)
        root = g.op("Sqrt", g.op("Add", mean, g.array(f"epsilon_{epsilon:g}", np.array(epsilon, np.float32))))
        return g.op("Mul", g.op("Div", x, root), g.array(name, self.tensors.floats(name)))

    def layer_norm(self, x: str, name: str, epsilon: float) -> str:
        """LayerNorm over the last axis."""
        weight, bias = (self.vector(f"{name}.{part}") for part in ("weight", "bias"))
        return self.graph.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)

    def vector(self, name: str) -> str:
        """A small tensor of the file as it is."""
        return self.graph.array(name, self.tensors.floats(name))

    def activate(self, x: str, kind: str) -> str:
        """gelu_tanh, gelu_erf, gelu_quick or silu."""
        g = self.graph
        if kind in ("gelu_tanh", "gelu_erf"):
            return g.op("Gelu", x, approximate="tanh" if kind == "gelu_tanh" else "none")
        steep = g.op("Mul", x, g.array("quick", np.array(1.702, np.float32))) if kind == "gelu_quick" else x
        return g.op("Mul", x, g.op("Sigmoid", steep))

    def scaled(self, x: str, factor: float) -> str:
        """x times a number."""
        return x if factor == 1 else self.graph.op("Mul", x, self.graph.constant(factor, np.float32))

    def capped(self, x: str, cap: float) -> str:
        """cap * tanh(x / cap); x itself where cap is 0."""
        if not cap:
            return x
        g = self.graph
        return g.op("Mul", g.op("Tanh", g.op("Div", x, g.constant(cap, np.float32))), g.constant(cap, np.float32))

    def heads(self, x: str, heads: int, head_dim: int) -> str:
        """(batch, n, heads * head_dim) -> (batch, heads, n, head_dim)."""
        return self.graph.op("Transpose", self.graph.reshape(x, [0, 0, heads, head_dim]), perm=[0, 2, 1, 3])

    def merged(self, x: str, width: int) -> str:
        """(batch, heads, n, head_dim) -> (batch, n, width)."""
        return self.graph.reshape(self.graph.op("Transpose", x, perm=[0, 2, 1, 3]), [0, 0, width])

    def float_weight(self, names: Sequence[str], columns: int, chosen: Sequence[int] | None = None) -> str:
        """Matrices one below the other as float32 (rows, columns)."""
        key = self.key(names, chosen)
        rows = self._rows(names, chosen)
        blocks = (values[:, :columns] for name in names for values in self.tensors.float_rows(name, chosen))
        part = self.weights.find(key) or self.weights.add(key, blocks)
        return self.graph.weight(key, part, [rows, columns], FLOAT)

    def block_weight(
        self, names: Sequence[str], chosen: Sequence[int] | None = None, *, flat: bool = False
    ) -> tuple[str, str]:
        """The same in blocks: values (rows, blocks, bytes), flat (rows, bytes), and scales (rows, blocks)."""
        key, rows = self.key(names, chosen), self._rows(names, chosen)
        values, scales = self.store_blocks(key, self.blocks(names, chosen), lambda block: block.values)
        count = scales.length // 4 // rows
        shape = [rows, values.length // rows] if flat else [rows, count, values.length // rows // count]
        return (
            self.graph.weight(f"{key}:values", values, shape, UINT8),
            self.graph.weight(f"{key}:scales", scales, [rows, count], FLOAT),
        )

    def blocks(self, names: Sequence[str], chosen: Sequence[int] | None) -> Iterator[Blocks]:
        """Matrices one below the other, some rows at a time."""
        return chain.from_iterable(self.tensors.block_rows(name, chosen) for name in names)

    def store_blocks(
        self, key: str, blocks: Iterable[Blocks], form: Callable[[Blocks], NDArray[Any]]
    ) -> tuple[Part, Part]:
        """The parts of the shared file that hold values, in that form, and scales; written when they are not there."""
        values, scales = (self.weights.find(f"{key}:{part}") for part in ("values", "scales"))
        if values is not None and scales is not None:
            return values, scales
        kept: list[NDArray[np.float32]] = []
        values = self.weights.add(f"{key}:values", _formed(blocks, form, kept))
        return values, self.weights.add(f"{key}:scales", kept)

    @staticmethod
    def key(names: Sequence[str], chosen: Sequence[int] | None) -> str:
        """What matrices, or the chosen of their rows, are called in the shared file."""
        return "+".join(names) + ("" if chosen is None else ":chosen")

    def _rows(self, names: Sequence[str], chosen: Sequence[int] | None) -> int:
        return len(chosen) if chosen is not None else sum(self.tensors.shape(name)[0] for name in names)


def rotary_tables(graph: Graph, attention: Attention) -> list[str]:
    """Cosines and sines of the angles."""
    both = (("cos", np.cos), ("sin", np.sin))
    return [graph.array(name, function(attention.angles).astype(np.float32)) for name, function in both]


def _formed(
    blocks: Iterable[Blocks], form: Callable[[Blocks], NDArray[Any]], scales: list[NDArray[np.float32]]
) -> Iterator[NDArray[Any]]:
    """The blocks' values one after the other; their scales are put aside, to stand behind them."""
    for block in blocks:
        scales.append(block.scales)
        yield form(block)
