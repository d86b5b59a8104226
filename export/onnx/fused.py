"""The variant for onnxruntime: MatMulNBits, GatherBlockQuantized, GroupQueryAttention, RotaryEmbedding.

GroupQueryAttention writes into the cache in place and sees it causally. Where rows see each other in both directions (a
bidirectional prefix, the slots of a continuous action) it still writes; an If beside it then computes the attention
over all cells that are filled, in standard operators. So both share every weight, in one session.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hyt.export.onnx.gguf_tensors import BLOCK
from hyt.export.onnx.graph import BOOL, CONTRIB, FLOAT, INT32, INT64, Graph
from hyt.export.onnx.layers import Attention, Layers, rotary_tables

ACCURACY_LEVELS = {"int8": 4, "float32": 1}  # of activations, as MatMulNBits numbers them


class Fused(Layers):
    """Layers in onnxruntime's own operators."""

    in_place = True

    def product(self, x: str, names: Sequence[str], columns: int, chosen: Sequence[int] | None = None) -> str:
        """MatMulNBits over blocks, a matrix product over floats."""
        bits = self.tensors.bits(names[0])
        if bits == 32:
            return self.graph.op("FusedMatMul", x, self.float_weight(names, columns, chosen), domain=CONTRIB, transB=1)
        return self.graph.op(
            "MatMulNBits", x, *self.block_weight(names, chosen), domain=CONTRIB, K=columns,
            N=self._rows(names, chosen), bits=bits, block_size=BLOCK, accuracy_level=ACCURACY_LEVELS[self.activations],
        )  # fmt: skip

    def embedding(self, ids: str, name: str) -> str:
        """Rows read from the blocks that the output matrix is computed with."""
        bits = self.tensors.bits(name)
        if bits == 32:
            return self.graph.op("Gather", self.float_weight([name], self.tensors.shape(name)[1]), ids)
        values, scales = self.block_weight([name], flat=True)
        return self.graph.op(
            "GatherBlockQuantized", values, ids, scales, domain=CONTRIB, bits=bits, block_size=BLOCK, gather_axis=0,
            quantize_axis=1,
        )  # fmt: skip

    def image_attention(self, q: str, k: str, v: str, heads: int, head_dim: int) -> str:
        """One operator."""
        return self.graph.op("MultiHeadAttention", q, k, v, domain=CONTRIB, num_heads=heads)

    def begin_steps(self, attention: Attention) -> None:
        """positions (1, n); last and total: index of the last position and their number, of cache and fed together."""
        self.attention, g = attention, self.graph
        g.input("positions", INT64, [1, "n"])
        g.input("last", INT32, [1])
        g.input("total", INT32, [])
        if attention.full:
            g.input("full", BOOL, [])
        self._turns = rotary_tables(g, attention)

    def rotate(self, x: str, heads: int) -> str:
        """One operator."""
        pairs = int(self.attention.pairs)
        inputs = (x, "positions", *self._turns)
        return self.graph.op("RotaryEmbedding", *inputs, domain=CONTRIB, interleaved=pairs, num_heads=heads)

    def cached_attention(self, layer: int, q: str, k: str, v: str) -> str:
        """GroupQueryAttention, and the full attention beside it where there is one."""
        a, g = self.attention, self.graph
        shape = [1, a.kv_heads, a.cells, a.head_dim]
        past = [g.input(f"past.{layer}.{part}", FLOAT, shape) for part in ("key", "value")]
        present = [f"present.{layer}.{part}" for part in ("key", "value")]
        causal = f"attended.{layer}"
        g.ops(
            "GroupQueryAttention", [q, k, v, *past, "last", "total"], [causal, *present], CONTRIB,
            num_heads=a.heads, kv_num_heads=a.kv_heads, scale=a.scale, softcap=a.softcap,
        )  # fmt: skip
        for name in present:
            g.output(name, name, FLOAT, shape)
        if not a.full:
            return causal
        same = Graph(f"causal.{layer}", f"causal.{layer}.")
        same.output(f"{causal}.same", same.op("Identity", causal), FLOAT, [1, "n", a.heads * a.head_dim])
        return g.op("If", "full", then_branch=self._full(layer, q, present).branch(), else_branch=same.branch())

    def _full(self, layer: int, q: str, present: list[str]) -> Graph:
        """Every query sees all `total` cells; the queries of a head of keys stand side by side."""
        a = self.attention
        g = Graph(f"full.{layer}", f"full.{layer}.")
        inside = Fused(g, self.tensors, self.weights, self.activations)
        end = g.reshape(g.op("Cast", "total", to=INT64), [1])
        zero, axis = g.constant([0], np.int64), g.constant([2], np.int64)
        keys, values = (g.op("Slice", name, zero, end, axis) for name in present)
        group = a.heads // a.kv_heads
        grouped = g.op("Transpose", g.reshape(q, [0, 0, a.kv_heads, group, a.head_dim]), perm=[0, 2, 3, 1, 4])
        rows = g.reshape(grouped, [0, 0, -1, a.head_dim])  # (1, kv_heads, group * n, head_dim)
        scores = g.op("MatMul", inside.scaled(rows, a.scale), g.op("Transpose", keys, perm=[0, 1, 3, 2]))
        shares = g.op("Softmax", inside.capped(scores, a.softcap), axis=-1)
        mixed = g.reshape(g.op("MatMul", shares, values), [0, 0, group, -1, a.head_dim])
        flat = g.reshape(g.op("Transpose", mixed, perm=[0, 3, 1, 2, 4]), [1, -1, a.heads * a.head_dim])
        g.output(f"attended.{layer}.full", flat, FLOAT, [1, "n", a.heads * a.head_dim])
        return g
