"""vision.onnx: images as the camera gives them, uint8 (images, size, size, 3), to image tokens (images * n, width)."""

from __future__ import annotations

import numpy as np

from hyt.export.onnx.graph import FLOAT, UINT8
from hyt.export.onnx.layers import Layers
from hyt.runtime.manifest import TowerShapes, VisionShapes


def add_vision(layers: Layers, vision: VisionShapes, images: int) -> None:
    """Towers side by side over the same images, then the projector."""
    g = layers.graph
    pixels = g.input("images", UINT8, [images, vision.image_size, vision.image_size, 3])
    unit = g.op("Div", g.op("Cast", pixels, to=FLOAT), g.constant(255, np.float32))
    prefixes = ("v.", "v1.")
    towers = [_tower(layers, tower, prefixes[i], unit, images) for i, tower in enumerate(vision.towers)]
    x = towers[0] if len(towers) == 1 else g.op("Concat", *towers, axis=-1)
    widths = [vision.feature_size, *vision.projector_widths]
    for i, width in enumerate(widths):
        x = layers.linear(layers.activate(x, "gelu_erf") if i else x, [f"mm.{2 * i}"], width)[0]
    tokens = g.reshape(x, [-1, vision.projection_dim])
    g.output("image_tokens", tokens, FLOAT, [images * vision.tokens, vision.projection_dim])


def _tower(layers: Layers, tower: TowerShapes, prefix: str, unit: str, images: int) -> str:
    """Features of the patches, (images, patches, hidden); class token and registers are left out."""
    g, hidden, epsilon = layers.graph, tower.hidden_size, tower.norm_epsilon
    x = _embedded(layers, tower, prefix, unit, images)
    if tower.pre_norm:
        x = layers.layer_norm(x, f"{prefix}pre_ln", epsilon)
    for i in range(tower.layers):
        block = f"{prefix}blk.{i}."
        h = layers.layer_norm(x, f"{block}ln1", epsilon)
        q, k, v = layers.linear(h, [f"{block}attn_{part}" for part in ("q", "k", "v")], hidden)
        h = layers.image_attention(q, k, v, tower.heads, hidden // tower.heads)
        h = layers.linear(h, [f"{block}attn_out"], hidden)[0]
        x = g.op("Add", x, _scaled(layers, tower, h, f"{block}ls1.weight"))
        h = layers.linear(layers.layer_norm(x, f"{block}ln2", epsilon), [f"{block}ffn_up"], hidden)[0]
        h = layers.linear(layers.activate(h, tower.activation), [f"{block}ffn_down"], tower.intermediate_size)[0]
        x = g.op("Add", x, _scaled(layers, tower, h, f"{block}ls2.weight"))
    if before := int(tower.class_token) + tower.registers:
        bounds = [g.constant([value], np.int64) for value in (before, 2**31 - 1, 1)]
        x = g.op("Slice", x, *bounds)
    return layers.layer_norm(x, f"{prefix}post_ln", epsilon) if tower.post_norm else x


def _embedded(layers: Layers, tower: TowerShapes, prefix: str, unit: str, images: int) -> str:
    """The sequence: class token, registers, patches with their positions."""
    g, hidden, patch = layers.graph, tower.hidden_size, tower.patch_size
    centred = g.op("Sub", unit, g.constant(tower.image_mean, np.float32))
    normal = g.op("Div", centred, g.constant(tower.image_std, np.float32))
    weights = [layers.vector(f"{prefix}patch_embd.weight")]
    if tower.patch_bias:
        weights.append(layers.vector(f"{prefix}patch_embd.bias"))
    planes = g.op("Transpose", normal, perm=[0, 3, 1, 2])
    patches = g.op("Conv", planes, *weights, kernel_shape=[patch, patch], strides=[patch, patch])
    x = g.op("Transpose", g.reshape(patches, [0, 0, -1]), perm=[0, 2, 1])
    positions = layers.tensors.floats(f"{prefix}position_embd.weight")
    first = int(tower.class_position)
    x = g.op("Add", x, g.array(f"{prefix}position_embd.weight", positions[first:]))
    before = []
    if tower.class_token:
        token = layers.tensors.floats(f"{prefix}class_embd")[None]
        before.append(token + positions[:1] if tower.class_position else token)
    if tower.registers:
        before.append(layers.tensors.floats(f"{prefix}register_embd").reshape(-1, hidden))
    if before:
        repeated = np.repeat(np.concatenate(before)[None], images, axis=0)
        x = g.op("Concat", g.array(f"{prefix}before", repeated), x, axis=1)
    return x


def _scaled(layers: Layers, tower: TowerShapes, x: str, name: str) -> str:
    return layers.graph.op("Mul", x, layers.vector(name)) if tower.layer_scale else x
