"""Write a random checkpoint of OpenVLA's true layout and sizes (7.5 billion weights, bf16, sharded).

python benchmarks/make_random_openvla.py openvla
hyt-export openvla -o openvla.hyt --step-time 0.2 --units m,rad

Names are those of the Hugging Face checkpoint: timm's for DINOv2 and SigLIP, transformers' for Llama 2. Memory stays
below that of a few blocks of 4 million weights. `--layers` makes it smaller.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
from make_random_checkpoint import write_weights
from tokenizers import AddedToken, Tokenizer, models, normalizers

from hyt.errors import OutputExistsError

LONE_SPACE = 29871


@dataclass(frozen=True)
class Tower:
    """Sizes of a vision transformer in patches of 14 pixels."""

    width: int
    feed_forward: int
    layers: int
    registers: int = 0  # with a class token and layer scale, as DINOv2

    def tensors(self, prefix: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of every tensor, as timm names them."""
        wide, hidden = self.feed_forward, self.width
        yield f"{prefix}pos_embed", (1, 256, hidden)
        if self.registers:
            yield f"{prefix}cls_token", (1, 1, hidden)
            yield f"{prefix}reg_token", (1, self.registers, hidden)
        shapes = {"patch_embed.proj": (hidden, 3, 14, 14), "norm": (hidden,)}
        for i in range(self.layers):
            shapes |= {
                f"blocks.{i}.norm1": (hidden,),
                f"blocks.{i}.attn.qkv": (3 * hidden, hidden),
                f"blocks.{i}.attn.proj": (hidden, hidden),
                f"blocks.{i}.norm2": (hidden,),
                f"blocks.{i}.mlp.fc1": (wide, hidden),
                f"blocks.{i}.mlp.fc2": (hidden, wide),
            }
            if self.registers:
                yield f"{prefix}blocks.{i}.ls1.scale_factor", (hidden,)
                yield f"{prefix}blocks.{i}.ls2.scale_factor", (hidden,)
        for name, shape in shapes.items():
            yield f"{prefix}{name}.weight", shape
            yield f"{prefix}{name}.bias", shape[:1]


@dataclass(frozen=True)
class Shape:
    """Sizes of the whole."""

    hidden: int = 4096
    feed_forward: int = 11008
    layers: int = 32
    vocabulary: int = 32064
    dino: Tower = Tower(1024, 4096, 24, registers=4)
    siglip: Tower = Tower(1152, 4304, 27)


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor."""
    yield from shape.dino.tensors("vision_backbone.featurizer.")
    yield from shape.siglip.tensors("vision_backbone.fused_featurizer.")
    features = shape.dino.width + shape.siglip.width
    widths = (features, 4 * features, shape.hidden, shape.hidden)
    for i in range(3):
        yield f"projector.fc{i + 1}.weight", (widths[i + 1], widths[i])
        yield f"projector.fc{i + 1}.bias", (widths[i + 1],)
    hidden, wide, text = shape.hidden, shape.feed_forward, "language_model.model."
    yield f"{text}embed_tokens.weight", (shape.vocabulary, hidden)
    for i in range(shape.layers):
        layer = f"{text}layers.{i}."
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield f"{layer}self_attn.{name}.weight", (hidden, hidden)
        yield f"{layer}mlp.gate_proj.weight", (wide, hidden)
        yield f"{layer}mlp.up_proj.weight", (wide, hidden)
        yield f"{layer}mlp.down_proj.weight", (hidden, wide)
        yield f"{layer}input_layernorm.weight", (hidden,)
        yield f"{layer}post_attention_layernorm.weight", (hidden,)
    yield f"{text}norm.weight", (hidden,)
    yield "language_model.lm_head.weight", (shape.vocabulary, hidden)


def values(random: np.random.Generator, name: str, size: tuple[int, ...]) -> np.ndarray:
    """float32 weights that keep activations of order one."""
    noise = random.standard_normal(size, dtype=np.float32)
    if len(size) == 1 and name.endswith((".weight", "scale_factor")):
        return 0.02 * noise + np.float32(1.0)
    if len(size) in (1, 3) or "embed_tokens" in name:
        return 0.02 * noise
    return noise / np.float32(prod(size[1:]) ** 0.5)


def config(shape: Shape) -> dict[str, object]:
    """The checkpoint's config.json; the statistics are made up."""
    reach = [0.03, 0.03, 0.03, 0.1, 0.1, 0.2, 0.0]
    action = {
        "q01": [-limit for limit in reach],
        "q99": [*reach[:-1], 1.0],
        "mask": [True] * 6 + [False],
    }
    return {
        "model_type": "openvla",
        "arch_specifier": "no-align+fused-gelu-mlp",
        "image_sizes": [224, 224],
        "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
        "timm_override_act_layers": [None, None],
        "use_fused_vision_backbone": True,
        "llm_backbone_id": "llama2-7b-pure",
        "n_action_bins": 256,
        "pad_to_multiple_of": 64,
        "text_config": {
            "model_type": "llama",
            "vocab_size": shape.vocabulary,
            "hidden_size": shape.hidden,
            "intermediate_size": shape.feed_forward,
            "num_hidden_layers": shape.layers,
        },
        "norm_stats": {"random": {"action": action}},
    }


def tokenizer() -> Tokenizer:
    """32000 tokens as Llama's: bytes, then pieces, a lone space at 29871."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *map(chr, range(33, 127))]
    pieces += [f"\N{PILCROW SIGN}{i}" for i in range(LONE_SPACE - len(pieces))]
    pieces.append("\N{LOWER ONE EIGHTH BLOCK}")
    pieces += [f"\N{SECTION SIGN}{i}" for i in range(32000 - len(pieces))]
    result = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0, byte_fallback=True))
    result.normalizer = normalizers.Replace(" ", "\N{LOWER ONE EIGHTH BLOCK}")
    result.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ("<s>", "</s>", "<PAD>")])
    return result


def write_checkpoint(path: Path, shape: Shape, seed: int = 0) -> int:
    """Write the checkpoint; returns the number of parameters. Raises OutputExistsError."""
    if path.exists():
        raise OutputExistsError(f"output {path}", received="an existing one", remedy="name another")
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config(shape), indent=2))
    tokenizer().save(str(path / "tokenizer.json"))
    return write_weights(path, tensors(shape), "bf16", seed, values=values)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write a random checkpoint of OpenVLA's layout.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--layers", type=int, default=Shape.layers, help="decoder layers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    parameters = write_checkpoint(options.checkpoint, replace(Shape(), layers=options.layers), options.seed)
    print(f"{options.checkpoint}: {parameters / 1e6:.1f} million parameters")


if __name__ == "__main__":
    main()
