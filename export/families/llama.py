"""The decoder Llama (1 to 3, Vicuna): its fields of config.json."""

from __future__ import annotations

from typing import ClassVar, Literal

from hyt.export.families.base import LayerCount
from hyt.export.families.decoder import DecoderConfig
from hyt.runtime.manifest import Count


class LlamaConfig(DecoderConfig):
    """transformers' LlamaConfig; the defaults are its own (7B), for fields that published checkpoints leave out."""

    architecture: ClassVar[str] = "llama"
    rotates_pairs: ClassVar[bool] = True
    rope_scalings: ClassVar[tuple[str, ...]] = ("linear", "llama3")

    model_type: Literal["llama"]
    vocab_size: Count = 32000
    hidden_size: Count = 4096
    intermediate_size: Count = 11008
    num_hidden_layers: LayerCount = 32
    num_attention_heads: Count = 32
    max_position_embeddings: Count = 2048
    hidden_act: Literal["silu"] = "silu"
    mlp_bias: Literal[False] = False
