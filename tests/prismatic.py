"""Random tiny OpenVLA and MiniVLA checkpoints in their true layout: timm's names, padded vocabulary, norm_stats.

Widths are tiny; names, ids (256 actions at the end of Llama's 32000 tokens, 29871) and numbers of heads are true.
The reference is composed by hand of transformers' DINOv2 (with registers), SigLIP and Llama or Qwen 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from families import Case, Images, normalised, randomise
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import nn

IMAGE, PATCH, HEADS = 28, 7, 16
DEPTH = 3


@dataclass(frozen=True)
class Widths:
    """Of the towers, of SigLIP's and of the decoder's feed-forward layers; the usual ones do not divide by 32."""

    dino: int = 48
    siglip: int = 80
    siglip_inner: int = 150
    text_inner: int = 88


USUAL = Widths()
EVEN = Widths(64, 96, 150, 96)  # blocks of INT4 divide all rows, once 150 is widened to 160
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
TIMM_IDS = ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"]
WORDS = ("In", "Out", "What", "action", "should", "the", "robot", "take", "to", "open", "close", "drawer")
BRIDGE = {
    "action": {
        "q01": [-0.028, -0.041, -0.026, -0.081, -0.092, -0.207, 0.0],
        "q99": [0.028, 0.04, 0.04, 0.081, 0.077, 0.203, 1.0],
        "mask": [True, True, True, True, True, True, False],
    },
    "num_transitions": 2135463,
}


def write_openvla(
    path: Path, *, layout: str = "hf", seed: int = 0, shards: bool = False, widths: Widths = USUAL
) -> Case:
    """OpenVLA in the layout "hf" or "native"."""
    config = transformers.LlamaConfig(
        vocab_size=32064, hidden_size=32, intermediate_size=widths.text_inner, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=512,
    )  # fmt: skip
    return _write(path, transformers.LlamaForCausalLM(config), llama_tokenizer(), layout, seed, shards, widths)


def write_minivla(path: Path, *, seed: int = 0, widths: Widths = USUAL) -> Case:
    """MiniVLA: Qwen 2.5 with 256 added action tokens, tied embeddings, a vocabulary padded beyond them."""
    tokenizer = qwen_tokenizer()
    config = transformers.Qwen2Config(
        vocab_size=(tokenizer.get_vocab_size() + 127) // 128 * 128, hidden_size=64, intermediate_size=widths.text_inner,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        tie_word_embeddings=True, rope_theta=1e6,
    )  # fmt: skip
    return _write(path, transformers.Qwen2ForCausalLM(config), tokenizer, "hf", seed, False, widths)


def llama_tokenizer() -> Tokenizer:
    """32000 tokens, a lone space at 29871, and the added padding token 32000."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *map(chr, range(33, 127))]
    pieces += [f"\u2581{word}" for word in WORDS] + list("\u00e4\u00f6\u00fc")
    pieces += [f"\u00b6{i}" for i in range(29871 - len(pieces))] + ["\u2581"]
    pieces += [f"\u00a7{i}" for i in range(32000 - len(pieces))]
    scores = [(piece, -float(len(piece) == 1) - 1.0) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ("<s>", "</s>")])
    tokenizer.add_special_tokens([AddedToken("<PAD>", special=True, normalized=False)])
    return tokenizer


def qwen_tokenizer() -> Tokenizer:
    """A byte-level tokenizer with chat tokens and 256 added action tokens at its end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([f"<|extra_{i}|>" for i in range(256)])
    return tokenizer


class _Model(nn.Module):
    """Two encoders, a projector, a decoder."""

    def __init__(self, language: Any, widths: Widths) -> None:
        super().__init__()
        size = {"image_size": IMAGE, "patch_size": PATCH, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS}
        self.dino = transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(hidden_size=widths.dino, mlp_ratio=2, num_register_tokens=4, **size)
        )
        self.siglip = transformers.SiglipVisionModel(
            transformers.SiglipVisionConfig(
                hidden_size=widths.siglip,
                intermediate_size=widths.siglip_inner,
                hidden_act="gelu",
                vision_use_head=False,
                **size,
            )
        )
        features, width = widths.dino + widths.siglip, language.config.hidden_size
        self.projector = nn.ModuleList(
            [nn.Linear(features, 4 * features), nn.Linear(4 * features, width), nn.Linear(width, width)]
        )
        self.language = language

    def encode(self, images: Images) -> torch.Tensor:
        """(tokens of all images, width)."""
        # Before the last layer; class token and four registers stand in front.
        dino = self.dino(normalised(images, *IMAGENET), output_hidden_states=True).hidden_states[-2][:, 5:]
        siglip = self.siglip(normalised(images, *HALF), output_hidden_states=True).hidden_states[-2]
        x = torch.cat([dino, siglip], dim=2)
        for i, layer in enumerate(self.projector):
            x = layer(x if i == 0 else nn.functional.gelu(x))
        return x.flatten(0, 1)


def _write(
    path: Path, language: Any, tokenizer: Tokenizer, layout: str, seed: int, shards: bool, widths: Widths
) -> Case:
    model = _Model(language, widths)
    model.dino.set_attn_implementation("eager")
    model.siglip.set_attn_implementation("eager")
    language.set_attn_implementation("eager")
    randomise(model, seed)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(value.to(torch.bfloat16))
        model.dino.embeddings.position_embeddings[:, 0] = 0  # timm gives the class token no position
    path.mkdir(parents=True)
    parameters = _state(model, layout)
    _save(path, {name: value.to(torch.bfloat16).contiguous() for name, value in parameters.items()}, shards)
    text = {key: value for key, value in language.config.to_diff_dict().items() if key != "transformers_version"}
    config = {
        "model_type": "openvla",
        "arch_specifier": "no-align+fused-gelu-mlp",
        "image_sizes": [IMAGE, IMAGE],
        "timm_model_ids": TIMM_IDS,
        "timm_override_act_layers": [None, None],
        "use_fused_vision_backbone": True,
        "n_action_bins": 256,
        "pad_to_multiple_of": 64,
        "text_config": text,
        "norm_stats": {"bridge_orig": BRIDGE},
    }
    (path / "config.json").write_text(json.dumps(config))
    tokenizer.save(str(path / "tokenizer.json"))
    return Case(path, model.encode, language, parameters=parameters)


def _state(model: _Model, layout: str) -> dict[str, torch.Tensor]:
    """The model's own parameters, no copies, by their names in a checkpoint."""
    native = layout == "native"
    towers = ("dino_featurizer", "siglip_featurizer") if native else ("featurizer", "fused_featurizer")
    state = _timm_dino(model.dino, f"vision_backbone.{towers[0]}.", "gamma" if native else "scale_factor")
    state |= _timm_siglip(model.siglip.vision_model, f"vision_backbone.{towers[1]}.")
    for i, layer in enumerate(model.projector):
        name = f"projector.projector.{2 * i}" if native else f"projector.fc{i + 1}"
        state |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    prefix = "llm_backbone.llm." if native else "language_model."
    text = {f"{prefix}{name}": value for name, value in model.language.state_dict().items()}
    if model.language.config.tie_word_embeddings:
        text.pop(f"{prefix}lm_head.weight")
    return {name: value.detach() for name, value in (state | text).items()}


def _timm_dino(model: Any, prefix: str, scale: str) -> dict[str, torch.Tensor]:
    embeddings = model.embeddings
    state = {
        "cls_token": embeddings.cls_token,
        "reg_token": embeddings.register_tokens,
        "pos_embed": embeddings.position_embeddings[:, 1:],
        **_module("patch_embed.proj", embeddings.patch_embeddings.projection),
        **_module("norm", model.layernorm),
    }
    for i, layer in enumerate(model.encoder.layer):
        block = f"blocks.{i}."
        attention = layer.attention.attention
        state |= _qkv(block, attention.query, attention.key, attention.value)
        state |= _module(f"{block}attn.proj", layer.attention.output.dense)
        state |= _module(f"{block}norm1", layer.norm1) | _module(f"{block}norm2", layer.norm2)
        state |= _module(f"{block}mlp.fc1", layer.mlp.fc1) | _module(f"{block}mlp.fc2", layer.mlp.fc2)
        state |= {f"{block}ls1.{scale}": layer.layer_scale1.lambda1, f"{block}ls2.{scale}": layer.layer_scale2.lambda1}
    return {prefix + name: value for name, value in state.items()}


def _timm_siglip(model: Any, prefix: str) -> dict[str, torch.Tensor]:
    width = model.config.hidden_size
    state = {
        "pos_embed": model.embeddings.position_embedding.weight[None],
        **_module("patch_embed.proj", model.embeddings.patch_embedding),
        **_module("norm", model.post_layernorm),
        "attn_pool.latent": torch.zeros(1, 1, width),
        "attn_pool.q.weight": torch.zeros(width, width),
    }
    for i, layer in enumerate(model.encoder.layers):
        block = f"blocks.{i}."
        attention = layer.self_attn
        state |= _qkv(block, attention.q_proj, attention.k_proj, attention.v_proj)
        state |= _module(f"{block}attn.proj", attention.out_proj)
        state |= _module(f"{block}norm1", layer.layer_norm1) | _module(f"{block}norm2", layer.layer_norm2)
        state |= _module(f"{block}mlp.fc1", layer.mlp.fc1) | _module(f"{block}mlp.fc2", layer.mlp.fc2)
    return {prefix + name: value for name, value in state.items()}


def _qkv(block: str, *parts: nn.Linear) -> dict[str, torch.Tensor]:
    state = {}
    for name in ("weight", "bias"):
        whole = torch.cat([getattr(part, name).detach() for part in parts])
        for part, rows in zip(parts, whole.chunk(len(parts)), strict=True):
            getattr(part, name).data = rows
        state[f"{block}attn.qkv.{name}"] = whole
    return state


def _module(name: str, module: Any) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": module.weight, f"{name}.bias": module.bias}


def _save(path: Path, state: dict[str, torch.Tensor], shards: bool) -> None:
    if not shards:
        save_file(state, str(path / "model.safetensors"), metadata={"format": "pt"})
        return
    names = list(state)
    files = {f"model-{i + 1:05}-of-00003.safetensors": names[i::3] for i in range(3)}
    for file, members in files.items():
        save_file({name: state[name] for name in members}, str(path / file), metadata={"format": "pt"})
    weight_map = {name: file for file, members in files.items() for name in members}
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
