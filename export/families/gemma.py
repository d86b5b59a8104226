"""The decoders Gemma 1 and Gemma 2: their fields of config.json."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from hyt.export.families.decoder import DecoderConfig, HeadDim
from hyt.runtime.manifest import Count, Positive


class GemmaConfig(DecoderConfig):
    """transformers' GemmaConfig; the defaults are its own, for fields that published checkpoints leave out."""

    architecture: ClassVar[str] = "gemma"
    norm_offset: ClassVar[float] = 1.0

    model_type: Literal["gemma"]
    head_dim: HeadDim = 256
    max_position_embeddings: Count = 8192
    tie_word_embeddings: Literal[True] = True
    hidden_act: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    hidden_activation: Literal["gelu_pytorch_tanh"] | None = None


class Gemma2Config(DecoderConfig):
    """transformers' Gemma2Config; the defaults are its own, for fields that published checkpoints leave out."""

    architecture: ClassVar[str] = "gemma2"
    norm_offset: ClassVar[float] = 1.0
    sandwich_norms: ClassVar[bool] = True

    model_type: Literal["gemma2"]
    head_dim: HeadDim = 256
    query_pre_attn_scalar: Positive = 256
    sliding_window: Count = 4096
    max_position_embeddings: Count = 8192
    attn_logit_softcapping: Positive = 50.0
    final_logit_softcapping: Positive = 30.0
    tie_word_embeddings: Literal[True] = True
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    layer_types: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _layers_alternate(self) -> Gemma2Config:
        kinds = tuple("full_attention" if i % 2 else "sliding_attention" for i in range(self.num_hidden_layers))
        if self.layer_types is not None and self.layer_types != kinds:
            raise ValueError("layer_types must be sliding and full attention in turn")
        return self

    def notes(self) -> list[str]:
        """What a user of language.gguf in stock llama.cpp must know."""
        if self.query_pre_attn_scalar == self.head_dim:
            return []
        return [
            "query_pre_attn_scalar is not head_dim: stock llama.cpp, which does not read hyt.attention.scale, scales "
            "attention by head_dim ** -0.5 and differs"
        ]

    def _sizes(self) -> dict[str, Any]:
        return super()._sizes() | {
            "attention_scale": self.query_pre_attn_scalar**-0.5,
            "attention_softcap": self.attn_logit_softcapping,
            "final_softcap": self.final_logit_softcapping,
            "sliding_window": self.sliding_window,
        }
