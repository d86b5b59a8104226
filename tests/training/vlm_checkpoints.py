"""Small random checkpoints of the true architectures, in the layout in which such models are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    Gemma2Config,
    GemmaConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    SiglipVisionConfig,
)

TOKENS = 300

ARCHITECTURES = ("paligemma", "paligemma2", "llava")
SPECIALS = {
    "paligemma": ["<pad>", "<eos>", "<bos>", "<unk>", "<image>"],
    "llava": ["<unk>", "<s>", "</s>", "<image>", "<pad>"],
}
WIDTHS: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 128,
    "patch_size": 64,
}


def write_vlm(folder: Path, architecture: str) -> Path:
    """A checkpoint with a byte-level tokenizer of TOKENS tokens and an embedding of 384 rows."""
    kind = architecture.rstrip("2")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS,
        special_tokens=SPECIALS[kind],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["open the drawer plan reach lower pull subtask move down back gripper object"], trainer
    )
    torch.manual_seed(0)
    ids = {token: tokenizer.token_to_id(token) for token in SPECIALS[kind]}
    model = _llava(ids) if kind == "llava" else _paligemma(ids, architecture)
    with torch.no_grad():  # larger than a fresh model's, so that differences show
        for parameter in model.parameters():
            parameter.mul_(2.0)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    values = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    (folder / "preprocessor_config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def _paligemma(ids: dict[str, int], architecture: str) -> Any:
    text = {**WIDTHS, "vocab_size": 384, "head_dim": 16, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
    if architecture == "paligemma2":
        decoder = Gemma2Config(**text, query_pre_attn_scalar=16).to_dict() | {"model_type": "gemma2"}
    else:
        decoder = GemmaConfig(**text).to_dict() | {"model_type": "gemma"}
    return PaliGemmaForConditionalGeneration(
        PaliGemmaConfig(
            text_config=decoder,
            vision_config=SiglipVisionConfig(**VISION, vision_use_head=False).to_dict()
            | {"model_type": "siglip_vision_model"},
            image_token_index=ids["<image>"],
            projection_dim=32,
            hidden_size=32,
        )
    )


def _llava(ids: dict[str, int]) -> Any:
    return LlavaForConditionalGeneration(
        LlavaConfig(
            text_config=LlamaConfig(**WIDTHS, vocab_size=384, tie_word_embeddings=False).to_dict(),
            vision_config=CLIPVisionConfig(**VISION).to_dict() | {"model_type": "clip_vision_model"},
            image_token_index=ids["<image>"],
            tie_word_embeddings=False,
        )
    )
