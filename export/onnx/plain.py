"""The variant in operators of the ONNX standard alone, for TensorRT: INT4 weights as Q/DQ, attention behind a mask.

INT4 stands as DequantizeLinear over (columns, rows) in blocks of 32 columns, which TensorRT keeps as it is and
onnxruntime's CPU turns into MatMulNBits. Weights of 8 bits, which TensorRT knows in no blocks, are scaled by operators
that any engine folds when it loads them. The cache is [cells, kv_heads, head_dim]; what is fed is scattered into a copy
of it, and every shape but the number of fed rows is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hyt.export.onnx.gguf_tensors import BLOCK, Blocks
from hyt.export.onnx.graph import FLOAT, INT4, INT8, INT64
from hyt.export.onnx.layers import Attention, Layers, rotary_tables


class Plain(Layers):
    """Layers in standard operators."""

    in_place = False

    def product(self, x: str, names: Sequence[str], columns: int, chosen: Sequence[int] | None = None) -> str:
        """A matrix product with what DequantizeLinear makes of INT4, or with floats."""
        g = self.graph
        bits = self.tensors.bits(names[0])
        if bits == 4:
            return g.op("MatMul", x, self._int4_weight(names, columns, chosen))
        if bits == 32:
            rows = self.float_weight(names, columns, chosen)
        else:
            values, scales = self._int8_weight(names, chosen)
            rows = g.reshape(self._dequantized(values, scales), [self._rows(names, chosen), -1])
        return g.op("MatMul", x, g.op("Transpose", rows, perm=[1, 0]))

    def embedding(self, ids: str, name: str) -> str:
        """Rows of 8 bits and their scales, multiplied behind the look-up."""
        g, columns = self.graph, self.tensors.shape(name)[1]
        if self.tensors.bits(name) == 32:
            return g.op("Gather", self.float_weight([name], columns), ids)
        values, scales = (g.op("Gather", part, ids) for part in self._int8_weight([name], None))
        return g.reshape(self._dequantized(values, scales), [0, 0, columns])

    def image_attention(self, q: str, k: str, v: str, heads: int, head_dim: int) -> str:
        """Scores, softmax, mixture."""
        g = self.graph
        rows, keys, values = (self.heads(x, heads, head_dim) for x in (q, k, v))
        scores = g.op("MatMul", self.scaled(rows, head_dim**-0.5), g.op("Transpose", keys, perm=[0, 1, 3, 2]))
        return self.merged(g.op("MatMul", g.op("Softmax", scores, axis=-1), values), heads * head_dim)

    def begin_steps(self, attention: Attention) -> None:
        """positions (1, n); visible (n, cells), 0 where a fed row sees a cell and -inf elsewhere."""
        self.attention, g = attention, self.graph
        g.input("positions", INT64, [1, "n"])
        g.input("visible", FLOAT, ["n", attention.cells])
        self._places = g.reshape("positions", [-1, 1])
        self._turns = [
            g.reshape(g.op("Gather", table, "positions"), [1, -1, 1, attention.head_dim // 2])
            for table in rotary_tables(g, attention)
        ]

    def rotate(self, x: str, heads: int) -> str:
        """Both halves of each head, or its neighbours, turned by the position's angles."""
        g, head_dim, (cos, sin) = self.graph, self.attention.head_dim, self._turns
        if self.attention.pairs:
            pairs = g.reshape(x, [0, 0, heads, head_dim // 2, 2])
            a, b = (g.reshape(part, [0, 0, heads, head_dim // 2]) for part in g.split(pairs, [1, 1]))
        else:
            a, b = g.split(g.reshape(x, [0, 0, heads, head_dim]), [head_dim // 2] * 2)
        first = g.op("Sub", g.op("Mul", a, cos), g.op("Mul", b, sin))
        second = g.op("Add", g.op("Mul", a, sin), g.op("Mul", b, cos))
        if self.attention.pairs:
            first, second = (g.reshape(part, [0, 0, heads, head_dim // 2, 1]) for part in (first, second))
        return g.reshape(g.op("Concat", first, second, axis=-1), [0, 0, heads * head_dim])

    def cached_attention(self, layer: int, q: str, k: str, v: str) -> str:
        """Keys and values scattered into the cache, then every row over all cells that it sees."""
        a, g = self.attention, self.graph
        shape = [a.cells, a.kv_heads, a.head_dim]
        present = []
        for part, fed in (("key", k), ("value", v)):
            past = g.input(f"past.{layer}.{part}", FLOAT, shape)
            rows = g.reshape(fed, [-1, a.kv_heads, a.head_dim])
            present += g.ops("ScatterND", [past, self._places, rows], [f"present.{layer}.{part}"])
            g.output(present[-1], present[-1], FLOAT, shape)
        group = a.heads // a.kv_heads
        rows = g.op("Transpose", g.reshape(q, [-1, a.kv_heads, group, a.head_dim]), perm=[1, 2, 0, 3])
        rows = g.reshape(self.scaled(rows, a.scale), [0, -1, a.head_dim])  # (kv_heads, group * n, head_dim)
        scores = self.capped(g.op("MatMul", rows, g.op("Transpose", present[0], perm=[1, 2, 0])), a.softcap)
        seen = g.op("Add", g.reshape(scores, [0, group, -1, a.cells]), "visible")
        shares = g.reshape(g.op("Softmax", seen, axis=-1), [0, -1, a.cells])
        mixed = g.op("MatMul", shares, g.op("Transpose", present[1], perm=[1, 0, 2]))
        mixed = g.op("Transpose", g.reshape(mixed, [0, group, -1, a.head_dim]), perm=[2, 0, 1, 3])
        return g.reshape(mixed, [1, -1, a.heads * a.head_dim])

    def _int4_weight(self, names: Sequence[str], columns: int, chosen: Sequence[int] | None) -> str:
        """float32 (columns, rows) by DequantizeLinear, from INT4 two in a byte."""
        g, rows = self.graph, self._rows(names, chosen)
        key = f"{self.key(names, chosen)}:int4"
        values, scales = (self.weights.find(f"{key}:{part}") for part in ("values", "scales"))
        if values is None or scales is None:
            blocks = list(self.blocks(names, chosen))
            unpacked = np.concatenate([_unpacked(block) for block in blocks]).reshape(rows, -1)[:, :columns]
            nibbles = np.ascontiguousarray(unpacked.T).reshape(-1) & np.int8(15)
            nibbles = np.append(nibbles, np.zeros(nibbles.size % 2, np.int8)).view(np.uint8)
            values = self.weights.add(f"{key}:values", [nibbles[::2] | nibbles[1::2] << 4])
            scales = self.weights.add(f"{key}:scales", [np.concatenate([block.scales for block in blocks]).T])
        return g.op(
            "DequantizeLinear", g.weight(f"{key}:values", values, [columns, rows], INT4),
            g.weight(f"{key}:scales", scales, [-(-columns // BLOCK), rows], FLOAT), axis=0, block_size=BLOCK,
        )  # fmt: skip

    def _int8_weight(self, names: Sequence[str], chosen: Sequence[int] | None) -> tuple[str, str]:
        """int8 (rows, blocks, 32) and scales (rows, blocks, 1)."""
        key, rows = f"{self.key(names, chosen)}:int8", self._rows(names, chosen)
        values, scales = self.store_blocks(key, self.blocks(names, chosen), _unpacked)
        shape = [rows, scales.length // 4 // rows]
        return (
            self.graph.weight(f"{key}:values", values, [*shape, BLOCK], INT8),
            self.graph.weight(f"{key}:scales", scales, [*shape, 1], FLOAT),
        )

    def _dequantized(self, values: str, scales: str) -> str:
        return self.graph.op("Mul", self.graph.op("Cast", values, to=FLOAT), scales)


def _unpacked(block: Blocks) -> NDArray[np.int8]:
    """Signed weights (rows, blocks, 32)."""
    if block.values.shape[-1] == BLOCK:
        return np.asarray((block.values ^ np.uint8(128)).view(np.int8))
    pairs = np.stack([block.values & 15, block.values >> 4], axis=-1)
    return np.asarray(pairs.reshape(*block.values.shape[:-1], BLOCK).view(np.int8) - np.int8(8))
