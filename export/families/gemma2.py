"""The Gemma 2 decoder: its config, its shapes, and where each of its tensors goes in language.gguf."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hyt.export.families.base import Config, LayerCount, TensorPlan
from hyt.runtime.manifest import Count, Positive, TextShapes

_MATRICES = (
    ("attn_q", "self_attn.q_proj", "queries", "hidden", "text attention"),
    ("attn_k", "self_attn.k_proj", "keys", "hidden", "text attention"),
    ("attn_v", "self_attn.v_proj", "keys", "hidden", "text attention"),
    ("attn_output", "self_attn.o_proj", "hidden", "queries", "text attention"),
    ("ffn_gate", "mlp.gate_proj", "wide", "hidden", "text feed-forward"),
    ("ffn_up", "mlp.up_proj", "wide", "hidden", "text feed-forward"),
    ("ffn_down", "mlp.down_proj", "hidden", "wide", "text feed-forward"),
)
_NORMS = (
    ("attn_norm", "input_layernorm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
)


class Gemma2Config(Config):
    """transformers' Gemma2Config; the defaults are its own, for fields that published checkpoints leave out."""

    model_type: Literal["gemma2"]
    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: LayerCount
    num_attention_heads: Count
    num_key_value_heads: Count
    head_dim: Annotated[int, Field(ge=2, le=4096, multiple_of=2)] = 256
    query_pre_attn_scalar: Positive = 256
    sliding_window: Count = 4096
    max_position_embeddings: Count = 8192
    rms_norm_eps: Positive = 1e-6
    rope_theta: Positive = 10000.0
    attn_logit_softcapping: Positive = 50.0
    final_logit_softcapping: Positive = 30.0
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    attention_bias: Literal[False] = False
    layer_types: tuple[str, ...] | None = None
    # Present only where positions mean something else than this exporter writes.
    rope_scaling: None = None
    rope_parameters: None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Gemma2Config:
        kinds = tuple("full_attention" if i % 2 else "sliding_attention" for i in range(self.num_hidden_layers))
        if self.layer_types is not None and self.layer_types != kinds:
            raise ValueError("layer_types must be sliding and full attention in turn")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_key_value_heads {self.num_key_value_heads} must divide {self.num_attention_heads} heads"
            )
        return self

    def shapes(self, prefix_attention: Literal["bidirectional", "causal"]) -> TextShapes:
        """The decoder's part of the manifest."""
        return TextShapes(
            architecture="gemma2",
            vocab_size=self.vocab_size,
            context_length=self.max_position_embeddings,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            layers=self.num_hidden_layers,
            heads=self.num_attention_heads,
            kv_heads=self.num_key_value_heads,
            head_dim=self.head_dim,
            norm_epsilon=self.rms_norm_eps,
            rope_theta=self.rope_theta,
            attention_scale=self.query_pre_attn_scalar**-0.5,
            attention_softcap=self.attn_logit_softcapping,
            final_softcap=self.final_logit_softcapping,
            sliding_window=self.sliding_window,
            prefix_attention=prefix_attention,
        )

    def notes(self) -> list[str]:
        """What a user of language.gguf in stock llama.cpp must know."""
        if self.query_pre_attn_scalar == self.head_dim:
            return []
        return [
            "query_pre_attn_scalar is not head_dim: stock llama.cpp, which does not read hyt.attention.scale, scales "
            "attention by head_dim ** -0.5 and differs"
        ]


def gemma2_plans(text: TextShapes, prefix: str) -> list[TensorPlan]:
    """Every tensor of a Gemma 2 whose checkpoint names begin with `prefix`; norms are stored as 1 + w."""
    hidden = text.hidden_size
    sizes = {
        "hidden": hidden,
        "wide": text.intermediate_size,
        "queries": text.heads * text.head_dim,
        "keys": text.kv_heads * text.head_dim,
    }
    embedding = (text.vocab_size, hidden)
    plans = [TensorPlan("token_embd.weight", f"{prefix}embed_tokens.weight", embedding, "embedding", "token embedding")]
    for i in range(text.layers):
        source, target = f"{prefix}layers.{i}.", f"blk.{i}."
        for name, saved, rows, columns, group in _MATRICES:
            shape = (sizes[rows], sizes[columns])
            plans.append(TensorPlan(f"{target}{name}.weight", f"{source}{saved}.weight", shape, "linear", group))
        plans += [_norm(f"{target}{name}.weight", f"{source}{saved}.weight", hidden) for name, saved in _NORMS]
    return [*plans, _norm("output_norm.weight", f"{prefix}norm.weight", hidden)]


def _norm(name: str, source: str, hidden: int) -> TensorPlan:
    return TensorPlan(name, source, (hidden,), "fixed", "text norms", add=1.0)
