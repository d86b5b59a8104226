"""Random tiny checkpoints of the true architecture (PaliGemma 2: SigLIP, linear projector, Gemma 2).

checkpoint = write_checkpoint(tmp_path / "tiny", AWKWARD, seed=3)
checkpoint.model      # PaliGemmaForConditionalGeneration, float32, eager attention: the reference
checkpoint.contract   # what stands in its hyt.json
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

from hyt.runtime.contract import Contract

SPECIALS = ("<pad>", "<eos>", "<bos>", "<unk>", "\n", "<image>", "<act>", "<think>", "<follow>", "</think>")
WORDS = ("open", "close", "the", "a", "drawer", "door", "window", "button", "press", "slowly", "now", "arm")
WORDS += ("PLAN", "SUBTASK", "MOVE", "GRIPPER", "align", "lower", "reach", "back", "left", "right", "up", "down")
BOS, UNK, NEWLINE, IMAGE, ACT, THINK, FOLLOW, END = 2, 3, 4, 5, 6, 7, 8, 9


@dataclass(frozen=True)
class Shape:
    """Sizes of a tiny model; the defaults divide by every block size that q4_0 and q8_0 need."""

    hidden: int = 64
    intermediate: int = 160
    layers: int = 3
    heads: int = 3
    kv_heads: int = 1
    head_dim: int = 32
    attention_scalar: float | None = None  # query_pre_attn_scalar; None: head_dim
    sliding_window: int | None = None  # None: the context
    context: int = 256
    vision_hidden: int = 64
    vision_intermediate: int = 96
    vision_layers: int = 2
    vision_heads: int = 2
    image_size: int = 28
    patch_size: int = 7
    cameras: int = 1
    state_bins: int = 16
    action_bins: int = 16
    steps: int = 2
    dimensions: int = 4
    text_tokens: int = 8
    thought_tokens: int = 12
    vocab_padding: int = 7
    gate_units: int = 0  # 0: no gate
    draft_units: int = 0  # 0: no draft head

    @property
    def tokenizer_size(self) -> int:
        """Tokens the tokenizer knows."""
        return len(SPECIALS) + len(WORDS) + self.state_bins + self.action_bins

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding, padding included."""
        return self.tokenizer_size + self.vocab_padding


DEFAULT = Shape()
# No row divides by 32, heads * head_dim != hidden, grouped queries, odd layer counts, two cameras, odd vocabulary.
AWKWARD = Shape(
    hidden=52, intermediate=90, layers=5, heads=6, kv_heads=2, head_dim=20, vision_hidden=36, vision_intermediate=70,
    vision_layers=3, vision_heads=3, image_size=40, patch_size=8, cameras=2, vocab_padding=14,
)  # fmt: skip
# Rows of 256 and more: K-quants apply.
WIDE = Shape(hidden=256, intermediate=512, layers=2, heads=4, kv_heads=2, head_dim=64, vision_hidden=256,
             vision_intermediate=512, vision_layers=1, vision_heads=4)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk with the model it was saved from."""

    path: Path
    model: PaliGemmaForConditionalGeneration
    contract: Contract
    shape: Shape


def build_model(shape: Shape = DEFAULT, seed: int = 0) -> PaliGemmaForConditionalGeneration:
    """A random reference model in eval mode, float32, eager attention (SDPA ignores the soft-cap)."""
    text = {
        "model_type": "gemma2",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "query_pre_attn_scalar": shape.attention_scalar or shape.head_dim,
        "sliding_window": shape.sliding_window or shape.context,
        "max_position_embeddings": shape.context,
    }
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": shape.vision_hidden,
        "intermediate_size": shape.vision_intermediate,
        "num_hidden_layers": shape.vision_layers,
        "num_attention_heads": shape.vision_heads,
        "image_size": shape.image_size,
        "patch_size": shape.patch_size,
        "vision_use_head": False,
        "projection_dim": shape.hidden,
    }
    config = PaliGemmaConfig(
        text_config=text, vision_config=vision, image_token_index=IMAGE, projection_dim=shape.hidden,
        hidden_size=shape.hidden, attn_implementation="eager",
    )  # fmt: skip
    model = PaliGemmaForConditionalGeneration(config).eval()
    model.set_attn_implementation("eager")
    _randomise(model, seed)
    return model


def write_checkpoint(
    directory: Path,
    shape: Shape = DEFAULT,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    shards: int = 1,
    names: str = "legacy",
) -> Checkpoint:
    """Save a random checkpoint; `names` is "legacy" (what transformers 4.57 saves) or "current" (its modules).

    The model returned holds the saved values (rounded to `dtype`) in float32.
    """
    model = build_model(shape, seed)
    directory.mkdir(parents=True)
    state = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight":  # tied to the embedding, as transformers leaves it out
            continue
        rounded = value.detach().to(dtype)
        value.copy_(rounded)
        state[legacy_name(name) if names == "legacy" else name] = rounded.contiguous().clone()
    _save(directory, state, shards)
    config = model.config.to_dict()
    config["architectures"] = ["PaliGemmaForConditionalGeneration"]
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    make_tokenizer(shape).save(str(directory / "tokenizer.json"))
    if shape.gate_units:
        save_file(make_gate(shape, seed), str(directory / "gate.safetensors"))
    if shape.draft_units:
        save_file(make_draft(shape, seed), str(directory / "draft.safetensors"))
    contract = make_contract(shape)
    (directory / "hyt.json").write_text(contract.model_dump_json(indent=1))
    return Checkpoint(directory, model, contract, shape)


def legacy_name(name: str) -> str:
    """Name of a tensor before transformers 4.52, which `save_pretrained` still writes."""
    if name.startswith("model.language_model."):
        return "language_model.model." + name.removeprefix("model.language_model.")
    return name.removeprefix("model.")


def make_tokenizer(shape: Shape = DEFAULT) -> Tokenizer:
    """A word-level tokenizer: special tokens, words, state bins `<s..>`, action bins `<a..>`."""
    words = [*SPECIALS, *WORDS, *(f"<s{i}>" for i in range(shape.state_bins))]
    words += [f"<a{i}>" for i in range(shape.action_bins)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIALS])
    return tokenizer


def make_contract(shape: Shape = DEFAULT) -> Contract:
    """The contract of `make_tokenizer`'s vocabulary: state, then text, between <bos> and a newline."""
    return Contract.model_validate(contract_data(shape))


def make_gate(shape: Shape, seed: int = 0) -> dict[str, torch.Tensor]:
    """A random gate, its probabilities spread over most of (0, 1)."""
    generator = torch.Generator().manual_seed(seed + 100)
    shapes = {"up.weight": (shape.gate_units, shape.hidden), "up.bias": (shape.gate_units,),
              "down.weight": (shape.gate_units,), "down.bias": (1,)}  # fmt: skip
    return {name: 0.3 * torch.randn(size, generator=generator) for name, size in shapes.items()}


def make_draft(shape: Shape, seed: int = 0) -> dict[str, torch.Tensor]:
    """A random draft head, of which state and first token both matter."""
    generator = torch.Generator().manual_seed(seed + 200)
    rest = (shape.steps * shape.dimensions - 1) * shape.action_bins
    shapes = {"up.weight": (shape.draft_units, shape.hidden), "up.bias": (shape.draft_units,),
              "first.weight": (shape.action_bins, shape.draft_units),
              "down.weight": (rest, shape.draft_units), "down.bias": (rest,)}  # fmt: skip
    return {name: 0.3 * torch.randn(size, generator=generator) for name, size in shapes.items()}


def contract_data(shape: Shape = DEFAULT) -> dict[str, Any]:
    """The same as plain data, for tests that damage it."""
    first_state = len(SPECIALS) + len(WORDS)
    actions = [first_state + shape.state_bins + i for i in range(shape.action_bins)]
    edges = np.linspace(-1, 1, shape.action_bins + 1)
    cameras = [f"camera{i}" for i in range(shape.cameras)]
    axes = [("x", "m"), ("y", "m"), ("z", "m"), ("gripper", "1")]
    suppressed = {*range(len(SPECIALS)), *actions, *range(shape.tokenizer_size, shape.vocab_size)} - {END}
    return {
        "version": 1,
        "name": "tiny",
        "vocab_size": shape.vocab_size,
        "cameras": [{"name": c, "height": shape.image_size, "width": shape.image_size} for c in cameras],
        "state": {
            "dimensions": [{"name": n, "unit": u, "low": -1.0, "high": 1.0} for n, u in axes],
            "bins": shape.state_bins,
            "first_token_id": first_state,
        },
        "prompt": [
            *({"kind": "image", "camera": c} for c in cameras),
            {"kind": "token", "id": BOS},
            {"kind": "state"},
            {"kind": "text", "max_tokens": shape.text_tokens},
            {"kind": "token", "id": NEWLINE},
        ],
        "modalities": {"act": ACT, "think": THINK, "follow": FOLLOW},
        "thought": {"end_id": END, "max_tokens": shape.thought_tokens, "suppressed_ids": sorted(suppressed)},
        "action": {
            "token_ids": actions,
            "bin_centers": [float(c) for c in (edges[:-1] + edges[1:]) / 2],
            "steps": shape.steps,
            "step_time": 0.0625,
            "dimensions": [
                {
                    "name": f"{axes[i % 4][0]}{i // 4 or ''}",
                    "unit": axes[i % 4][1],
                    "low": -0.5,
                    "high": 0.5,
                    "semantics": "delta",
                    "frame": "world",
                    "relative_to": "last_setpoint",
                }
                for i in range(shape.dimensions)
            ],
        },
        "gate": {"units": shape.gate_units, "threshold": 0.5} if shape.gate_units else None,
        "draft": {"units": shape.draft_units} if shape.draft_units else None,
        "instructions": ["open the drawer", "close the door slowly"],
    }


def _randomise(model: PaliGemmaForConditionalGeneration, seed: int) -> None:
    """Weights large enough that logits spread, soft-caps bend and every norm and bias matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if "embed_tokens" in name:
                # Small beside what the layers add, or the tied head would only repeat its input.
                value.copy_(noise * 1.6 * value.shape[1] ** -0.5)
            elif value.ndim == 1:
                siglip_norm = name.endswith("weight") and "vision" in name
                post_norm = "post_attention_layernorm" in name or "post_feedforward_layernorm" in name
                value.copy_(noise * 0.2 + (1.0 if siglip_norm else 0.6 if post_norm else 0.0))
            elif "position_embedding" in name:
                value.copy_(noise * 0.3)
            else:
                value.copy_(noise * (value[0].numel() ** -0.5) * 1.2)


def _save(directory: Path, state: dict[str, torch.Tensor], shards: int) -> None:
    if shards == 1:
        save_file(state, str(directory / "model.safetensors"), metadata={"format": "pt"})
        return
    names = list(state)
    parts = {f"model-{i + 1:05}-of-{shards:05}.safetensors": names[i::shards] for i in range(shards)}
    for file, members in parts.items():
        save_file({name: state[name] for name in members}, str(directory / file), metadata={"format": "pt"})
    weight_map = {name: file for file, members in parts.items() for name in members}
    total = sum(value.numel() * value.element_size() for value in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
