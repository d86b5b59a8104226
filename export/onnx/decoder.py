"""The decoder's graphs: embeddings in, hidden states and the logits of action tokens out; and the vocabulary's logits.

embed.onnx     ids (1, n) -> embeddings (1, n, hidden), scaled
decoder.onnx   embeddings (1, n, hidden), rows (r), where they stand and what they see, the cache
               -> hidden (1, r, hidden) behind the final norm, action_logits (1, r, actions), the cache
output.onnx    hidden (1, 1, hidden) -> logits (1, 1, vocabulary)

`rows` names the fed positions that somebody reads: behind the last layer's keys and values all others are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hyt.export.onnx.graph import FLOAT, INT64
from hyt.export.onnx.layers import Attention, Layers
from hyt.export.rope_scaling import turn_divisors
from hyt.runtime.manifest import TextShapes

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
_GEMMA = ("gemma", "gemma2")


def add_embed(layers: Layers, text: TextShapes) -> None:
    """Token ids to embeddings."""
    ids = layers.graph.input("ids", INT64, [1, "n"])
    found = layers.scaled(layers.embedding(ids, EMBEDDING), text.embedding_scale)
    layers.graph.output("embeddings", found, FLOAT, [1, "n", text.hidden_size])


def add_output(layers: Layers, text: TextShapes) -> None:
    """Hidden states to the logits of the vocabulary."""
    hidden = layers.graph.input("hidden", FLOAT, [1, 1, text.hidden_size])
    logits = layers.product(hidden, [_head(layers)], text.hidden_size)
    layers.graph.output("logits", layers.capped(logits, text.final_softcap or 0), FLOAT, [1, 1, text.vocab_size])


def add_decoder(layers: Layers, text: TextShapes, cells: int, action_ids: Sequence[int], full: bool) -> None:
    """All layers over a cache of `cells` positions; full: a call may ask that its rows see each other both ways."""
    g = layers.graph
    attention = Attention(
        heads=text.heads,
        kv_heads=text.kv_heads,
        head_dim=text.head_dim,
        scale=text.attention_scale,
        softcap=text.attention_softcap or 0.0,
        cells=cells,
        angles=_angles(text, cells),
        pairs=text.architecture == "llama",  # as llama.cpp stores them
        full=full,
    )
    x = g.input("embeddings", FLOAT, [1, "n", text.hidden_size])
    rows = g.input("rows", INT64, ["r"])
    layers.begin_steps(attention)
    for i in range(text.layers):
        x = _layer(layers, text, x, i, rows if i + 1 == text.layers else None)
    hidden = layers.rms_norm(x, "output_norm.weight", text.norm_epsilon)
    g.output("hidden", hidden, FLOAT, [1, "r", text.hidden_size])
    if action_ids:
        logits = layers.product(hidden, [_head(layers)], text.hidden_size, action_ids)
        logits = layers.capped(logits, text.final_softcap or 0)
        g.output("action_logits", logits, FLOAT, [1, "r", len(action_ids)])


def _angles(text: TextShapes, cells: int) -> NDArray[np.float64]:
    frequencies = text.rope_theta ** (-np.arange(0, text.head_dim, 2) / text.head_dim)
    return np.outer(np.arange(cells), frequencies / turn_divisors(text))


def _layer(layers: Layers, text: TextShapes, x: str, i: int, rows: str | None) -> str:
    g, block, epsilon = layers.graph, f"blk.{i}.", text.norm_epsilon
    h = layers.rms_norm(x, f"{block}attn_norm.weight", epsilon)
    names = [f"{block}attn_{part}" for part in ("q", "k", "v")]
    q, k, v = layers.linear(h, names, text.hidden_size)
    if f"{block}attn_q_norm.weight" in layers.tensors:
        q = _normed_heads(layers, text, q, f"{block}attn_q_norm.weight", text.heads)
        k = _normed_heads(layers, text, k, f"{block}attn_k_norm.weight", text.kv_heads)
    q, k = layers.rotate(q, text.heads), layers.rotate(k, text.kv_heads)
    h = layers.cached_attention(i, q, k, v)
    if rows is not None:
        h, x = (g.op("Gather", value, rows, axis=1) for value in (h, x))
    h = layers.linear(h, [f"{block}attn_output"], text.heads * text.head_dim)[0]
    x = g.op("Add", x, _after(layers, h, f"{block}post_attention_norm.weight", epsilon))
    h = layers.rms_norm(x, f"{block}ffn_norm.weight", epsilon)
    gate, up = layers.linear(h, [f"{block}ffn_gate", f"{block}ffn_up"], text.hidden_size)
    h = g.op("Mul", layers.activate(gate, "gelu_tanh" if text.architecture in _GEMMA else "silu"), up)
    h = layers.linear(h, [f"{block}ffn_down"], text.intermediate_size)[0]
    return g.op("Add", x, _after(layers, h, f"{block}post_ffw_norm.weight", epsilon))


def _after(layers: Layers, x: str, norm: str, epsilon: float) -> str:
    """Gemma 2's norms behind attention and feed-forward."""
    return layers.rms_norm(x, norm, epsilon) if norm in layers.tensors else x


def _normed_heads(layers: Layers, text: TextShapes, x: str, norm: str, heads: int) -> str:
    g = layers.graph
    normed = layers.rms_norm(g.reshape(x, [0, 0, heads, text.head_dim]), norm, text.norm_epsilon)
    return g.reshape(normed, [0, 0, heads * text.head_dim])


def _head(layers: Layers) -> str:
    """The output matrix, which is the embedding where both are tied."""
    return OUTPUT if OUTPUT in layers.tensors else EMBEDDING
