"""The GGUF keys of language.gguf and vision.gguf, as llama.cpp names them, from a manifest's shapes.

language.gguf   architecture gemma2; `hyt.attention.scale` is ours (stock llama.cpp takes head_dim ** -0.5)
vision.gguf     architecture clip, projector "linear", as llama.cpp's mmproj files
"""

from __future__ import annotations

from gguf import GGML_QUANT_VERSION, GGUFWriter, LlamaFileType

from hyt.runtime.manifest import TextShapes, VisionShapes

_FILE_TYPES = {
    "f32": LlamaFileType.ALL_F32,
    "f16": LlamaFileType.MOSTLY_F16,
    "q4_0": LlamaFileType.MOSTLY_Q4_0,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
    "q4_k": LlamaFileType.MOSTLY_Q4_K_S,
}


def add_language_keys(writer: GGUFWriter, text: TextShapes, name: str, request: str) -> None:
    """Keys of a Gemma 2 decoder without a tokenizer."""
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
    writer.add_layer_norm_rms_eps(text.norm_epsilon)
    writer.add_rope_freq_base(text.rope_theta)
    if text.attention_softcap is not None:
        writer.add_attn_logit_softcapping(text.attention_softcap)
    if text.final_softcap is not None:
        writer.add_final_logit_softcapping(text.final_softcap)
    if text.sliding_window is not None:
        writer.add_sliding_window(text.sliding_window)
    writer.add_float32("hyt.attention.scale", text.attention_scale)
    writer.add_tokenizer_model("none")


def add_vision_keys(writer: GGUFWriter, vision: VisionShapes, name: str, request: str) -> None:
    """Keys of a SigLIP encoder with a linear projector."""
    add_general_keys(writer, name, request)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.use_gelu", True)
    writer.add_string("clip.projector_type", "linear")
    writer.add_uint32("clip.vision.image_size", vision.image_size)
    writer.add_uint32("clip.vision.patch_size", vision.patch_size)
    writer.add_uint32("clip.vision.embedding_length", vision.hidden_size)
    writer.add_uint32("clip.vision.feed_forward_length", vision.intermediate_size)
    writer.add_uint32("clip.vision.block_count", vision.layers)
    writer.add_uint32("clip.vision.attention.head_count", vision.heads)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", vision.norm_epsilon)
    writer.add_uint32("clip.vision.projection_dim", vision.projection_dim)
    writer.add_array("clip.vision.image_mean", list(vision.image_mean))
    writer.add_array("clip.vision.image_std", list(vision.image_std))


def add_general_keys(writer: GGUFWriter, name: str, request: str) -> None:
    """Name and type of a file, which each of ours has."""
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPES[request])
    writer.add_quantization_version(GGML_QUANT_VERSION)
