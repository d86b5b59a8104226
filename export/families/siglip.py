"""The SigLIP image encoder: its config, its shapes, and where each of its tensors goes in vision.gguf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hyt.export.families.base import Config, LayerCount, Role, TensorPlan
from hyt.runtime.contract import Camera
from hyt.runtime.manifest import Count, Positive, VisionShapes

SMALL = "vision norms, biases, positions"
_PROJECTIONS = (("attn_q", "q_proj"), ("attn_k", "k_proj"), ("attn_v", "v_proj"), ("attn_out", "out_proj"))


class SiglipConfig(Config):
    """transformers' SiglipVisionConfig; the defaults are its own, for fields that published checkpoints leave out."""

    model_type: Literal["siglip_vision_model"]
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: LayerCount
    num_attention_heads: Count
    image_size: Annotated[int, Field(ge=1, le=4096)] = 224
    patch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    num_channels: Literal[3] = 3
    layer_norm_eps: Positive = 1e-6
    hidden_act: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"

    @model_validator(mode="after")
    def _fits_together(self) -> SiglipConfig:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"{self.num_attention_heads} heads must divide hidden_size {self.hidden_size}")
        if self.image_size % self.patch_size:
            raise ValueError(f"patches of {self.patch_size} must divide {self.image_size} pixels")
        return self

    def shapes(self, projection_dim: int, cameras: Sequence[Camera]) -> VisionShapes:
        """The encoder's part of the manifest; raises ValueError unless all cameras normalise pixels alike."""
        if not cameras or any((c.mean, c.std) != (cameras[0].mean, cameras[0].std) for c in cameras):
            raise ValueError("there must be a camera, and all cameras must have the same mean and std")
        return VisionShapes(
            architecture="siglip",
            image_size=self.image_size,
            patch_size=self.patch_size,
            tokens=(self.image_size // self.patch_size) ** 2,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            layers=self.num_hidden_layers,
            heads=self.num_attention_heads,
            norm_epsilon=self.layer_norm_eps,
            projection_dim=projection_dim,
            image_mean=cameras[0].mean,
            image_std=cameras[0].std,
        )


def siglip_plans(vision: VisionShapes, prefix: str) -> list[TensorPlan]:
    """Every tensor of a SigLIP tower (without its pooling head) whose checkpoint names begin with `prefix`."""
    hidden, wide, patch = vision.hidden_size, vision.intermediate_size, vision.patch_size
    patches, positions = (hidden, 3, patch, patch), (vision.tokens, hidden)
    plans = [
        *affine("v.patch_embd", f"{prefix}embeddings.patch_embedding", patches, "vision patches", "fixed"),
        TensorPlan(
            "v.position_embd.weight", f"{prefix}embeddings.position_embedding.weight", positions, "fixed", SMALL
        ),
    ]
    for i in range(vision.layers):
        source, target = f"{prefix}encoder.layers.{i}.", f"v.blk.{i}."
        plans += affine(f"{target}ln1", f"{source}layer_norm1", (hidden,), SMALL, "fixed")
        for name, saved in _PROJECTIONS:
            plans += affine(f"{target}{name}", f"{source}self_attn.{saved}", (hidden, hidden), "vision attention")
        plans += affine(f"{target}ln2", f"{source}layer_norm2", (hidden,), SMALL, "fixed")
        plans += affine(f"{target}ffn_up", f"{source}mlp.fc1", (wide, hidden), "vision feed-forward")
        plans += affine(f"{target}ffn_down", f"{source}mlp.fc2", (hidden, wide), "vision feed-forward")
    return [*plans, *affine("v.post_ln", f"{prefix}post_layernorm", (hidden,), SMALL, "fixed")]


def affine(name: str, source: str, shape: tuple[int, ...], group: str, role: Role = "linear") -> list[TensorPlan]:
    """A weight with its bias."""
    return [
        TensorPlan(f"{name}.weight", f"{source}.weight", shape, role, group),
        TensorPlan(f"{name}.bias", f"{source}.bias", shape[:1], "fixed", SMALL),
    ]
