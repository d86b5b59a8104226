"""The decoders Qwen 2 (and 2.5) and Qwen 3: their fields of config.json."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from hyt.export.families.decoder import DecoderConfig, HeadDim
from hyt.runtime.manifest import Count


class _QwenConfig(DecoderConfig):
    rope_scalings: ClassVar[tuple[str, ...]] = ("linear",)

    max_position_embeddings: Count = 32768
    hidden_act: Literal["silu"] = "silu"
    use_sliding_window: Literal[False] = False
    layer_types: tuple[Literal["full_attention"], ...] | None = None


class Qwen2Config(_QwenConfig):
    """transformers' Qwen2Config, which Qwen 2.5 uses too; queries, keys and values have biases."""

    architecture: ClassVar[str] = "qwen2"
    biases: ClassVar[bool] = True

    model_type: Literal["qwen2"]

    @model_validator(mode="after")
    def _is_as_wide_as_its_heads(self) -> Qwen2Config:
        if self.num_attention_heads * self.width != self.hidden_size:
            raise ValueError(f"{self.num_attention_heads} heads of {self.width} must make hidden_size")
        return self


class Qwen3Config(_QwenConfig):
    """transformers' Qwen3Config; queries and keys are normalised head by head."""

    architecture: ClassVar[str] = "qwen3"
    query_key_norms: ClassVar[bool] = True

    model_type: Literal["qwen3"]
    head_dim: HeadDim = 128
