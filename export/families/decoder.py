"""What the decoders have in common: sizes in config.json, and where each tensor goes in language.gguf."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from hyt.export.families.base import Config, LayerCount, TensorPlan
from hyt.export.rope_scaling import gather_rope, read_rope_scaling, turn_divisors
from hyt.runtime.manifest import Count, Positive, RopeScaling, TextShapes

PrefixAttention = Literal["bidirectional", "causal"]
HeadDim = Annotated[int, Field(ge=2, le=4096, multiple_of=2)]

_MATRICES = (
    ("attn_q", "self_attn.q_proj", "queries", "hidden", "text attention"),
    ("attn_k", "self_attn.k_proj", "keys", "hidden", "text attention"),
    ("attn_v", "self_attn.v_proj", "keys", "hidden", "text attention"),
    ("attn_output", "self_attn.o_proj", "hidden", "queries", "text attention"),
    ("ffn_gate", "mlp.gate_proj", "wide", "hidden", "text feed-forward"),
    ("ffn_up", "mlp.up_proj", "wide", "hidden", "text feed-forward"),
    ("ffn_down", "mlp.down_proj", "hidden", "wide", "text feed-forward"),
)
_NORMS = (("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm"))
_SANDWICH_NORMS = (
    ("attn_norm", "input_layernorm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
)


class DecoderConfig(Config):
    """The fields that all decoders name alike in transformers."""

    architecture: ClassVar[str]  # llama.cpp's name
    # What a checkpoint of this kind adds to its norms' weights before it multiplies by them.
    norm_offset: ClassVar[float] = 0.0
    sandwich_norms: ClassVar[bool] = False
    query_key_norms: ClassVar[bool] = False
    biases: ClassVar[bool] = False
    rotates_pairs: ClassVar[bool] = False
    rope_scalings: ClassVar[tuple[str, ...]] = ()  # of positions, which llama.cpp computes too

    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: LayerCount
    num_attention_heads: Count
    num_key_value_heads: Count | None = None
    head_dim: HeadDim | None = None
    max_position_embeddings: Count
    rms_norm_eps: Positive = 1e-6
    rope_theta: Positive = 10000.0
    attention_bias: Literal[False] = False
    tie_word_embeddings: bool = False
    rope_scaling: RopeScaling | None = None

    @model_validator(mode="before")
    @classmethod
    def _rope_stands_in_one_place(cls, data: Any) -> Any:
        return gather_rope(data)

    @field_validator("rope_scaling", mode="plain")
    @classmethod
    def _scales_as_we_do(cls, value: Any) -> RopeScaling | None:
        return read_rope_scaling(value, cls.rope_scalings)

    @model_validator(mode="after")
    def _heads_fit(self) -> DecoderConfig:
        if self.num_attention_heads % self.kv_heads:
            raise ValueError(f"num_key_value_heads {self.kv_heads} must divide {self.num_attention_heads} heads")
        if self.head_dim is None and (self.hidden_size % self.num_attention_heads or self.width % 2):
            raise ValueError(f"{self.num_attention_heads} heads of an even width must make hidden_size")
        return self

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def width(self) -> int:
        """Width of one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    def shapes(self, prefix_attention: PrefixAttention) -> TextShapes:
        """The decoder's part of the manifest."""
        return TextShapes(**self._sizes(), prefix_attention=prefix_attention)

    def notes(self) -> list[str]:
        """What a user of language.gguf in stock llama.cpp must know."""
        return []

    def plans(self, prefix: str, head: str) -> list[TensorPlan]:
        """Every tensor: those of the decoder begin with `prefix`, the output matrix is `head` unless it is tied."""
        hidden, matrix = self.hidden_size, (self.vocab_size, self.hidden_size)
        embedding = f"{prefix}embed_tokens.weight"
        plans = [TensorPlan("token_embd.weight", embedding, matrix, "embedding", "token embedding")]
        for i in range(self.num_hidden_layers):
            plans += self._layer(f"{prefix}layers.{i}.", f"blk.{i}.")
        plans.append(self._norm("output_norm.weight", f"{prefix}norm.weight", hidden))
        if self.rope_scaling is not None and self.rope_scaling.kind != "linear":
            plans.append(self._rope_factors())
        if not self.tie_word_embeddings:
            plans.append(TensorPlan("output.weight", head, matrix, "embedding", "output matrix"))
        return plans

    def _sizes(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture,
            "vocab_size": self.vocab_size,
            "context_length": self.max_position_embeddings,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "layers": self.num_hidden_layers,
            "heads": self.num_attention_heads,
            "kv_heads": self.kv_heads,
            "head_dim": self.width,
            "norm_epsilon": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling,
            "attention_scale": self.width**-0.5,
            "attention_softcap": None,
            "final_softcap": None,
            "sliding_window": None,
            "tied_embeddings": self.tie_word_embeddings,
        }

    def _layer(self, source: str, target: str) -> list[TensorPlan]:
        sizes = {
            "hidden": self.hidden_size,
            "wide": self.intermediate_size,
            "queries": self.num_attention_heads * self.width,
            "keys": self.kv_heads * self.width,
        }
        plans = []
        for name, saved, rows, columns, group in _MATRICES:
            shape = (sizes[rows], sizes[columns])
            pairs = self.width if self.rotates_pairs and name in ("attn_q", "attn_k") else 0
            weight = f"{target}{name}.weight"
            plans.append(TensorPlan(weight, f"{source}{saved}.weight", shape, "linear", group, pairs=pairs))
            if self.biases and name in ("attn_q", "attn_k", "attn_v"):
                bias = f"{source}{saved}.bias"
                plans.append(TensorPlan(f"{target}{name}.bias", bias, shape[:1], "fixed", "text biases"))
        norms = _SANDWICH_NORMS if self.sandwich_norms else _NORMS
        plans += [self._norm(f"{target}{n}.weight", f"{source}{saved}.weight", self.hidden_size) for n, saved in norms]
        if self.query_key_norms:
            for name in ("q_norm", "k_norm"):
                plans.append(self._norm(f"{target}attn_{name}.weight", f"{source}self_attn.{name}.weight", self.width))
        return plans

    def _rope_factors(self) -> TensorPlan:
        divisors = tuple(turn_divisors(self.shapes("causal")).tolist())
        return TensorPlan("rope_freqs.weight", "", (len(divisors),), "fixed", "text positions", values=divisors)

    def _norm(self, name: str, source: str, length: int) -> TensorPlan:
        return TensorPlan(name, source, (length,), "fixed", "text norms", add=self.norm_offset)
