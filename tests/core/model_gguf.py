"""Writes a reference model as the two GGUF files of the core: an exporter of its own, to test the core against.

files = write_gguf(model, directory)                     # float32
files = write_gguf(model, directory, quantize="q4_0")    # matrices quantised, and `model` gets the rounded weights
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from hyt.runtime import _core

# Gemma 2's names of a block and llama.cpp's; norms are stored with the 1 that Gemma adds to them.
TEXT_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_feedforward_layernorm": "post_ffw_norm",
}
VISION_NAMES = {
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}


@dataclass(frozen=True)
class Files:
    """Paths of language.gguf and vision.gguf (empty for a model without vision)."""

    language: str
    vision: str


def write_gguf(model: torch.nn.Module, directory: Path, quantize: str | None = None, embedding: str = "q8_0") -> Files:
    """Write a PaliGemma model (or a Gemma2ForCausalLM, without vision) to `directory`.

    With `quantize`, matrices whose rows its blocks divide are quantised to it, the embedding to `embedding`, and the
    model's own weights become what the file holds, so that it stays the reference.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pali = hasattr(model.model, "language_model")
    language = directory / "language.gguf"
    text = model.model.language_model if pali else model.model
    _write_language(text, language, quantize, embedding)
    if not pali:
        return Files(str(language), "")
    vision = directory / "vision.gguf"
    _write_vision(model, vision, quantize)
    return Files(str(language), str(vision))


def add_weight(writer: gguf.GGUFWriter, name: str, weight: torch.Tensor, quantize: str | None) -> None:
    """Add a matrix, quantised where blocks divide its rows; `weight` takes the values that the file holds."""
    values = weight.detach().numpy()
    if quantize is None or values.shape[-1] % _core.quantization_block(quantize) != 0:
        writer.add_tensor(name, np.ascontiguousarray(values))
        return
    rows, columns = values.shape
    data = _core.quantize(quantize, np.ascontiguousarray(values))
    with torch.no_grad():
        weight.copy_(torch.from_numpy(_core.dequantize(quantize, data, rows, columns)))
    kind = gguf.GGMLQuantizationType[quantize.upper()]
    writer.add_tensor(name, data.reshape(rows, -1), raw_dtype=kind)


def _write_language(text: Any, path: Path, quantize: str | None, embedding: str) -> None:
    config = text.config
    writer = gguf.GGUFWriter(str(path), "gemma2")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    writer.add_final_logit_softcapping(config.final_logit_softcapping)
    writer.add_sliding_window(config.sliding_window)
    writer.add_float32("hyt.attention.scale", config.query_pre_attn_scalar**-0.5)
    writer.add_tokenizer_model("none")
    add_weight(writer, "token_embd.weight", text.embed_tokens.weight, quantize and embedding)
    writer.add_tensor("output_norm.weight", text.norm.weight.detach().numpy() + 1)
    for i, layer in enumerate(text.layers):
        for theirs, ours in TEXT_NAMES.items():
            weight = layer.get_submodule(theirs).weight
            if weight.ndim == 1:
                writer.add_tensor(f"blk.{i}.{ours}.weight", weight.detach().numpy() + 1)
            else:
                add_weight(writer, f"blk.{i}.{ours}.weight", weight, quantize)
    finish(writer)


def _write_vision(model: Any, path: Path, quantize: str | None) -> None:
    config = model.config.vision_config
    vision = model.model.vision_tower.vision_model
    writer = gguf.GGUFWriter(str(path), "clip")
    writer.add_string("clip.projector_type", "linear")
    writer.add_uint32("clip.vision.image_size", config.image_size)
    writer.add_uint32("clip.vision.patch_size", config.patch_size)
    writer.add_uint32("clip.vision.embedding_length", config.hidden_size)
    writer.add_uint32("clip.vision.feed_forward_length", config.intermediate_size)
    writer.add_uint32("clip.vision.block_count", config.num_hidden_layers)
    writer.add_uint32("clip.vision.attention.head_count", config.num_attention_heads)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", config.layer_norm_eps)
    writer.add_uint32("clip.vision.projection_dim", config.projection_dim)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])

    def add_linear(name: str, module: torch.nn.Module) -> None:
        add_weight(writer, f"{name}.weight", module.weight, quantize if module.weight.ndim == 2 else None)
        writer.add_tensor(f"{name}.bias", module.bias.detach().numpy())

    add_linear("v.patch_embd", vision.embeddings.patch_embedding)
    writer.add_tensor("v.position_embd.weight", vision.embeddings.position_embedding.weight.detach().numpy())
    for i, layer in enumerate(vision.encoder.layers):
        for theirs, ours in VISION_NAMES.items():
            add_linear(f"v.blk.{i}.{ours}", layer.get_submodule(theirs))
    add_linear("v.post_ln", vision.post_layernorm)
    add_linear("mm.0", model.model.multi_modal_projector.linear)
    finish(writer)


def write_head(path: Path, head: dict[str, torch.Tensor], prefix: str = "gate") -> None:
    """Write the tensors of a gate, or of another head, as head.gguf."""
    writer = gguf.GGUFWriter(str(path), "hyt-head")
    for name, value in head.items():
        writer.add_tensor(f"{prefix}.{name}", value.numpy())
    finish(writer)


def finish(writer: gguf.GGUFWriter) -> None:
    """Write the file out."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
