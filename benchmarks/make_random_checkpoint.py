"""Write a random checkpoint of the size of a real small policy, to measure the runtime on: 0.5B-shape PaliGemma 2.

    python benchmarks/make_random_checkpoint.py CHECKPOINT [--shape 0.5b|paligemma2-3b] [--layers N] [--seed S]
                                                [--dtype bf16|f16] [--head tokens|continuous] [--chunk-steps N]

The decoder has the shape of Qwen2.5-0.5B (896 wide, 24 layers, 14 heads of 64, 2 of keys and values, feed-forward 4864,
151,936 tokens), the image encoder that of SigLIP base (12 layers of 768, 224 pixels, patch 16). Weights are random, so
its actions mean nothing; its timings are those of any policy of this shape. `paligemma2-3b` has the sizes of the
published PaliGemma 2 3B in shards. numpy only, a block of 4 million weights in memory at a time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from hyt.errors import OutputExistsError
from hyt.runtime.contract import Contract

SPECIALS = ("<pad>", "<eos>", "<bos>", "<unk>", "\n", "<image>", "<act>", "<think>", "<follow>", "</think>")
PAD, EOS, BOS, UNK, NEWLINE, IMAGE, ACT, THINK, FOLLOW, END = range(len(SPECIALS))
WORDS = ("open", "close", "the", "drawer", "door", "window", "press", "button", "move", "left", "right", "up", "down")
STATE_BINS = ACTION_BINS = 256
FIRST_STATE = len(SPECIALS) + len(WORDS)
FIRST_ACTION = FIRST_STATE + STATE_BINS
BLOCK = 2**22  # weights made at a time
DIMENSIONS = 7
HeadKind = Literal["tokens", "continuous"]
Sizes = Iterable[tuple[str, tuple[int, ...]]]
Values = Callable[[np.random.Generator, str, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Shape:
    """Sizes of the model, and what its policy is called."""

    name: str = "random-0.5b"
    vocab: int = 151_936
    hidden: int = 896
    feed_forward: int = 4864
    layers: int = 24
    heads: int = 14
    kv_heads: int = 2
    head_dim: int = 64
    vision_hidden: int = 768
    vision_feed_forward: int = 3072
    vision_layers: int = 12
    vision_heads: int = 12
    image: int = 224
    patch: int = 16


SHAPES = {
    "0.5b": Shape(),
    "paligemma2-3b": Shape(
        name="random-paligemma2-3b",
        vocab=257_216, hidden=2304, feed_forward=9216, layers=26, heads=8, kv_heads=4, head_dim=256,
        vision_hidden=1152, vision_feed_forward=4304, vision_layers=27, vision_heads=16, patch=14,
    ),
}  # fmt: skip


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor, as transformers 4.57 saves a PaliGemmaForConditionalGeneration."""
    hidden, ff, head = shape.hidden, shape.feed_forward, shape.head_dim
    text = "language_model.model."
    yield f"{text}embed_tokens.weight", (shape.vocab, hidden)
    for index in range(shape.layers):
        layer = f"{text}layers.{index}."
        yield f"{layer}self_attn.q_proj.weight", (shape.heads * head, hidden)
        yield f"{layer}self_attn.k_proj.weight", (shape.kv_heads * head, hidden)
        yield f"{layer}self_attn.v_proj.weight", (shape.kv_heads * head, hidden)
        yield f"{layer}self_attn.o_proj.weight", (hidden, shape.heads * head)
        yield f"{layer}mlp.gate_proj.weight", (ff, hidden)
        yield f"{layer}mlp.up_proj.weight", (ff, hidden)
        yield f"{layer}mlp.down_proj.weight", (hidden, ff)
        for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            yield f"{layer}{norm}_layernorm.weight", (hidden,)
    yield f"{text}norm.weight", (hidden,)
    wide, vision = shape.vision_hidden, "vision_tower.vision_model."
    yield f"{vision}embeddings.patch_embedding.weight", (wide, 3, shape.patch, shape.patch)
    yield f"{vision}embeddings.patch_embedding.bias", (wide,)
    yield f"{vision}embeddings.position_embedding.weight", ((shape.image // shape.patch) ** 2, wide)
    for index in range(shape.vision_layers):
        layer = f"{vision}encoder.layers.{index}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{layer}self_attn.{name}.weight", (wide, wide)
            yield f"{layer}self_attn.{name}.bias", (wide,)
        for name, rows, columns in (
            ("fc1", shape.vision_feed_forward, wide),
            ("fc2", wide, shape.vision_feed_forward),
        ):
            yield f"{layer}mlp.{name}.weight", (rows, columns)
            yield f"{layer}mlp.{name}.bias", (rows,)
        for norm in ("layer_norm1", "layer_norm2"):
            yield f"{layer}{norm}.weight", (wide,)
            yield f"{layer}{norm}.bias", (wide,)
    yield f"{vision}post_layernorm.weight", (wide,)
    yield f"{vision}post_layernorm.bias", (wide,)
    yield "multi_modal_projector.linear.weight", (hidden, wide)
    yield "multi_modal_projector.linear.bias", (hidden,)


def head_tensors(shape: Shape, steps: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The same of the action head of a continuous policy, as wide as the model, with two blocks."""
    wide = shape.hidden
    yield "slots.weight", (steps * DIMENSIONS, wide)
    layers = {"input": (DIMENSIONS * wide, wide), "blocks.0": (wide, wide), "blocks.1": (wide, wide)}
    for name, (columns, rows) in {**layers, "output": (wide, DIMENSIONS)}.items():
        yield from ((f"{name}.norm.weight", (columns,)), (f"{name}.norm.bias", (columns,)))
        yield from ((f"{name}.linear.weight", (rows, columns)), (f"{name}.linear.bias", (rows,)))


def write_weights(
    directory: Path,
    sizes: Sizes,
    dtype: str,
    seed: int,
    shard_bytes: int = 5 * 10**9,
    values: Values | None = None,
) -> int:
    """Stream random weights into one safetensors file, or shards with an index; returns the number of parameters.

    values: float32 weights of a block of rows; memory is bounded by a block.
    """
    shards: list[list[tuple[str, tuple[int, ...]]]] = [[]]
    filled = 0
    for name, size in sizes:
        count = 2 * prod(size)
        if shards[-1] and filled + count > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append((name, size))
        filled += count
    files = ["model.safetensors"]
    if len(shards) > 1:
        files = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
        weight_map = {name: file for file, shard in zip(files, shards, strict=True) for name, _ in shard}
        (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return sum(
        write_safetensors(directory / file, shard, dtype, seed + i, values)
        for i, (file, shard) in enumerate(zip(files, shards, strict=True))
    )


def write_safetensors(path: Path, sizes: Sizes, dtype: str, seed: int, values: Values | None = None) -> int:
    """Stream random weights into a safetensors file; returns the number of parameters."""
    sizes = list(sizes)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, size in sizes:
        count = prod(size)
        header[name] = {"dtype": dtype.upper(), "shape": size, "data_offsets": [offset, offset + 2 * count]}
        offset += 2 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, size in sizes:
            step = max(1, BLOCK // prod(size[1:]))
            for first in range(0, size[0], step):
                block = (min(step, size[0] - first), *size[1:])
                file.write(_encode((values or _values)(random, name, block), dtype))
    return offset // 2


def _values(random: np.random.Generator, name: str, size: tuple[int, ...]) -> np.ndarray:
    """float32 weights that keep activations of order one: matrices by fan-in, norms near their identity."""
    noise = random.standard_normal(size, dtype=np.float32)
    if len(size) == 1:
        # Gemma multiplies by 1 + w, SigLIP and the action head by w.
        plain_norm = "norm" in name and "language_model" not in name and name.endswith("weight")
        return 0.02 * noise + np.float32(1.0 if plain_norm else 0.0)
    if "position_embedding" in name:
        return 0.02 * noise
    return noise / np.float32(prod(size[1:]) ** 0.5)


def _encode(values: np.ndarray, dtype: str) -> bytes:
    if dtype == "f16":
        return values.astype(np.float16).tobytes()
    bits = values.view(np.uint32)  # bfloat16 is the upper half of a float32, rounded to nearest even
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def config(shape: Shape) -> dict[str, object]:
    """The checkpoint's config.json."""
    return {
        "architectures": ["PaliGemmaForConditionalGeneration"],
        "model_type": "paligemma",
        "image_token_index": IMAGE,
        "hidden_size": shape.hidden,
        "projection_dim": shape.hidden,
        "text_config": {
            "model_type": "gemma2",
            "vocab_size": shape.vocab,
            "hidden_size": shape.hidden,
            "intermediate_size": shape.feed_forward,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "query_pre_attn_scalar": shape.head_dim,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
            "sliding_window": 4096,
            "max_position_embeddings": 1024,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "hidden_activation": "gelu_pytorch_tanh",
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": shape.vision_hidden,
            "intermediate_size": shape.vision_feed_forward,
            "num_hidden_layers": shape.vision_layers,
            "num_attention_heads": shape.vision_heads,
            "image_size": shape.image,
            "patch_size": shape.patch,
            "num_channels": 3,
            "layer_norm_eps": 1e-6,
            "hidden_act": "gelu_pytorch_tanh",
            "vision_use_head": False,
            "projection_dim": shape.hidden,
        },
    }


def contract(shape: Shape, head: HeadKind = "tokens", steps: int = 1) -> Contract:
    """Seven action dimensions in 256 bins, as in OpenVLA; one camera, four state tokens, thoughts of 64 tokens."""
    actions = range(FIRST_ACTION, FIRST_ACTION + ACTION_BINS)
    silent = {*range(len(SPECIALS)), *range(FIRST_STATE, FIRST_ACTION), *actions} - {END}
    edges = np.linspace(-1, 1, ACTION_BINS + 1)
    centers = [float(center) for center in (edges[:-1] + edges[1:]) / 2]
    tokens = head == "tokens"
    motion = {"low": -0.05, "high": 0.05, "semantics": "delta", "frame": "world", "relative_to": "last_setpoint"}
    axes = [(axis, "m") for axis in "xyz"] + [(axis, "rad") for axis in ("roll", "pitch", "yaw")]
    effort = {"name": "gripper", "unit": "1", "low": -1.0, "high": 1.0, "semantics": "absolute", "frame": "gripper"}
    hand = [{"name": f"hand_{axis}", "unit": "m", "low": -1.0, "high": 1.0} for axis in "xyz"]
    return Contract.model_validate(
        {
            "name": shape.name,
            "vocab_size": shape.vocab,
            "cameras": [{"name": "camera", "height": shape.image, "width": shape.image}],
            "state": {
                "dimensions": [*hand, {"name": "gripper_opening", "unit": "1", "low": 0.0, "high": 1.0}],
                "bins": STATE_BINS,
                "first_token_id": FIRST_STATE,
            },
            "prompt": [
                {"kind": "image", "camera": "camera"},
                {"kind": "token", "id": BOS},
                {"kind": "state"},
                {"kind": "text", "max_tokens": 24},
                {"kind": "token", "id": NEWLINE},
            ],
            "modalities": {"act": ACT, "think": THINK, "follow": FOLLOW},
            "thought": {
                "end_id": END,
                "max_tokens": 64,
                "suppressed_ids": sorted(silent),
            },
            "action": {
                "kind": head,
                "token_ids": list(actions) if tokens else [],
                "bin_centers": centers if tokens else [],
                "steps": steps,
                "step_time": 0.0625,
                "dimensions": [*({"name": name, "unit": unit, **motion} for name, unit in axes), effort],
            },
            "instructions": ["open the drawer"],
        }
    )


def tokenizer() -> Tokenizer:
    """A word-level tokenizer over the few ids that stand for something."""
    words = [
        *SPECIALS,
        *WORDS,
        *(f"<s{i:03d}>" for i in range(STATE_BINS)),
        *(f"<a{i:03d}>" for i in range(ACTION_BINS)),
    ]
    result = Tokenizer(models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="<unk>"))
    result.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return result


def write_checkpoint(
    path: Path, shape: Shape, *, dtype: str = "bf16", seed: int = 0, head: HeadKind = "tokens", steps: int = 1
) -> int:
    """Write the checkpoint beside `path` and rename it; returns the number of parameters. Raises OutputExistsError."""
    if path.exists():
        raise OutputExistsError(f"output {path}", received="an existing one", remedy="name another")
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        parameters = write_weights(temporary, tensors(shape), dtype, seed)
        if head == "continuous":
            sizes = head_tensors(shape, steps)
            parameters += write_safetensors(temporary / "action_head.safetensors", sizes, dtype, seed)
        (temporary / "config.json").write_text(json.dumps(config(shape), indent=2))
        (temporary / "hyt.json").write_text(contract(shape, head, steps).model_dump_json())
        tokenizer().save(str(temporary / "tokenizer.json"))
        temporary.chmod(0o755)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary)
        raise
    return parameters


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write a random checkpoint of a true shape to measure on.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="0.5b", help="sizes (default: %(default)s)")
    parser.add_argument("--layers", type=int, help="decoder layers (default: those of the shape)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=("bf16", "f16"), default="bf16")
    parser.add_argument("--head", choices=("tokens", "continuous"), default="tokens")
    parser.add_argument("--chunk-steps", type=int, default=1, help="steps of a chunk (default 1)")
    options = parser.parse_args()
    shape = SHAPES[options.shape]
    shape = replace(shape, layers=options.layers or shape.layers)
    parameters = write_checkpoint(
        options.checkpoint,
        shape,
        dtype=options.dtype,
        seed=options.seed,
        head=options.head,
        steps=options.chunk_steps,
    )
    print(f"{options.checkpoint}: {parameters / 1e6:.1f} million parameters")


if __name__ == "__main__":
    main()
