"""What one answer costs at least: bytes read per decoded token, and floating point operations of vision and prefill."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gguf import GGUFReader

from hyt.runtime.bundle import Bundle
from hyt.runtime.manifest import TextShapes, VisionShapes

EMBEDDING = "token_embd.weight"


@dataclass(frozen=True)
class Cost:
    """Least work of a policy's phases.

    weight_bytes:         all weights of the bundle
    action_pass_bytes:    weights read to decode one action token: every layer, and the output rows of the actions;
                          or a continuous chunk: every layer, and its head
    thought_token_bytes:  weights read to decode one thought token: every layer, and all output rows
    vision_flops:         images to image tokens
    prefill_flops:        the prefix of the length given
    """

    weight_bytes: int
    action_pass_bytes: int
    thought_token_bytes: int
    vision_flops: int
    prefill_flops: int


def cost_of(bundle: Bundle, prefix: int) -> Cost:
    """Cost of a policy whose prefix has `prefix` positions; a multiply-add counts as two operations."""
    shapes, contract = bundle.manifest.shapes, bundle.contract
    sizes = _tensor_bytes(bundle.language)
    embedding = sizes.pop(EMBEDDING)
    layers = sum(sizes.values())
    heads = _tensor_bytes(bundle.head) if bundle.head else {}
    if contract.action.kind == "continuous":
        head = sum(size for name, size in heads.items() if name.startswith("action."))
    else:
        head = embedding * len(contract.action.token_ids) // contract.vocab_size
    return Cost(
        weight_bytes=layers + embedding + sum(heads.values()) + sum(_tensor_bytes(bundle.vision).values()),
        action_pass_bytes=layers + head,
        thought_token_bytes=layers + embedding,
        vision_flops=contract.image_count * _vision_flops(shapes.vision),
        prefill_flops=_prefill_flops(shapes.text, prefix),
    )


def _tensor_bytes(path: Path) -> dict[str, int]:
    return {tensor.name: int(tensor.n_bytes) for tensor in GGUFReader(path).tensors}


def _vision_flops(vision: VisionShapes) -> int:
    tokens, wide = vision.tokens, vision.hidden_size
    patches = 2 * tokens * 3 * vision.patch_size**2 * wide
    layer = 2 * tokens * (4 * wide * wide + 2 * wide * vision.intermediate_size) + 4 * tokens * tokens * wide
    return patches + vision.layers * layer + 2 * tokens * wide * vision.projection_dim


def _prefill_flops(text: TextShapes, prefix: int) -> int:
    heads, kv = text.heads * text.head_dim, text.kv_heads * text.head_dim
    weights = text.hidden_size * (2 * heads + 2 * kv + 3 * text.intermediate_size)
    return text.layers * (2 * prefix * weights + 4 * prefix * prefix * heads)
