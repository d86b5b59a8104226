"""The GGUF keys of language.gguf and vision.gguf, as llama.cpp names them, from a manifest's shapes.

language.gguf   architecture gemma, gemma2, llama, qwen2 or qwen3; `hyt.attention.scale` (stock llama.cpp takes
                head_dim ** -0.5) and `hyt.prefix_attention` (causal or bidirectional) are ours
vision.gguf     architecture clip, as llama.cpp's mmproj files; projector linear, mlp or fused (one, two or three maps);
                a second tower, and what llama.cpp has no key for, stands under `hyt.vision.0.` and `hyt.vision.1.`
"""

from __future__ import annotations

from gguf import GGML_QUANT_VERSION, GGUFWriter, LlamaFileType, RopeScalingType

from hyt.export.quantization.types import MIXED
from hyt.runtime.manifest import TextShapes, TowerShapes, VisionShapes

PROJECTORS = ("linear", "mlp", "fused")  # by the number of widths inside

_FILE_TYPES = {
    "f32": LlamaFileType.ALL_F32,
    "f16": LlamaFileType.MOSTLY_F16,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
    "q6_k": LlamaFileType.MOSTLY_Q6_K,
    "q5_k": LlamaFileType.MOSTLY_Q5_K_S,
    "q5_0": LlamaFileType.MOSTLY_Q5_0,
    "q4_k": LlamaFileType.MOSTLY_Q4_K_S,
    "q4_1": LlamaFileType.MOSTLY_Q4_1,
    "q4_0": LlamaFileType.MOSTLY_Q4_0,
    "iq4_nl": LlamaFileType.MOSTLY_IQ4_NL,
    "iq4_xs": LlamaFileType.MOSTLY_IQ4_XS,
    MIXED: LlamaFileType.GUESSED,
}


def add_language_keys(writer: GGUFWriter, text: TextShapes, name: str, request: str) -> None:
    """Keys of a decoder without a tokenizer."""
    add_general_keys(writer, name, request)
    writer.add_vocab_size(text.vocab_size)
    writer.add_context_length(text.context_length)
    writer.add_embedding_length(text.hidden_size)
    writer.add_block_count(text.layers)
    writer.add_feed_forward_length(text.intermediate_size)
    writer.add_head_count(text.heads)
    writer.add_head_count_kv(text.kv_heads)
    writer.add_key_length(text.head_dim)
    writer.add_value_length(text.head_dim)
    writer.add_rope_dimension_count(text.head_dim)
    writer.add_layer_norm_rms_eps(text.norm_epsilon)
    writer.add_rope_freq_base(text.rope_theta)
    if text.rope_scaling is not None and text.rope_scaling.kind == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(text.rope_scaling.factor)
    if text.attention_softcap is not None:
        writer.add_attn_logit_softcapping(text.attention_softcap)
    if text.final_softcap is not None:
        writer.add_final_logit_softcapping(text.final_softcap)
    if text.sliding_window is not None:
        writer.add_sliding_window(text.sliding_window)
    writer.add_float32("hyt.attention.scale", text.attention_scale)
    writer.add_string("hyt.prefix_attention", text.prefix_attention)
    writer.add_tokenizer_model("none")


def add_vision_keys(writer: GGUFWriter, vision: VisionShapes, name: str, request: str) -> None:
    """Keys of one or two vision transformers and their projector."""
    add_general_keys(writer, name, request)
    writer.add_bool("clip.has_vision_encoder", True)
    # llama.cpp knows no second kind of GELU; neither flag means the quick one.
    writer.add_bool("clip.use_gelu", vision.activation != "gelu_quick")
    writer.add_string("clip.projector_type", PROJECTORS[len(vision.projector_widths)])
    writer.add_uint32("clip.vision.image_size", vision.image_size)
    writer.add_uint32("clip.vision.projection_dim", vision.projection_dim)
    for i, width in enumerate(vision.projector_widths):
        writer.add_uint32(f"hyt.projector.{i}.width", width)
    for i, tower in enumerate(vision.towers):
        _add_tower(writer, tower, "clip.vision." if i == 0 else f"hyt.vision.{i}.", f"hyt.vision.{i}.")


def _add_tower(writer: GGUFWriter, tower: TowerShapes, usual: str, own: str) -> None:
    writer.add_uint32(f"{usual}patch_size", tower.patch_size)
    writer.add_uint32(f"{usual}embedding_length", tower.hidden_size)
    writer.add_uint32(f"{usual}feed_forward_length", tower.intermediate_size)
    writer.add_uint32(f"{usual}block_count", tower.layers)
    writer.add_uint32(f"{usual}attention.head_count", tower.heads)
    writer.add_float32(f"{usual}attention.layer_norm_epsilon", tower.norm_epsilon)
    writer.add_array(f"{usual}image_mean", list(tower.image_mean))
    writer.add_array(f"{usual}image_std", list(tower.image_std))
    writer.add_string(f"{own}activation", tower.activation)
    writer.add_uint32(f"{own}registers", tower.registers)
    for flag in ("class_token", "class_position", "patch_bias", "pre_norm", "post_norm", "layer_scale"):
        writer.add_bool(f"{own}{flag}", getattr(tower, flag))


def add_general_keys(writer: GGUFWriter, name: str, request: str) -> None:
    """Name and type of a file, which each of ours has."""
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPES[request])
    writer.add_quantization_version(GGML_QUANT_VERSION)
