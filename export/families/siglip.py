"""The image encoders SigLIP and CLIP as transformers saves them: config, shapes, and where each tensor goes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from hyt.export.families.base import Config, LayerCount, TensorPlan
from hyt.export.families.vision import SMALL, Normalisation, affine
from hyt.runtime.manifest import Count, Positive, TowerShapes, VisionShapes

_PROJECTIONS = (("attn_q", "q_proj"), ("attn_k", "k_proj"), ("attn_v", "v_proj"), ("attn_out", "out_proj"))
Side = Annotated[int, Field(ge=1, le=4096)]


class _EncoderConfig(Config):
    kind: ClassVar[str]
    class_token: ClassVar[bool]

    hidden_size: Count = 768
    intermediate_size: Count = 3072
    num_hidden_layers: LayerCount = 12
    num_attention_heads: Count = 12
    image_size: Side = 224
    patch_size: Side = 16
    num_channels: Literal[3] = 3
    layer_norm_eps: Positive
    hidden_act: Literal["gelu_pytorch_tanh", "gelu", "quick_gelu"]

    @model_validator(mode="after")
    def _fits_together(self) -> _EncoderConfig:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"{self.num_attention_heads} heads must divide hidden_size {self.hidden_size}")
        if self.image_size % self.patch_size:
            raise ValueError(f"patches of {self.patch_size} must divide {self.image_size} pixels")
        return self

    def shapes(
        self,
        projection_dim: int,
        normalisation: Normalisation,
        *,
        layers: int | None = None,
        post_norm: bool = True,
        projector_widths: tuple[int, ...] = (),
    ) -> VisionShapes:
        """The encoder's part of the manifest; `layers` of it are used, None for all."""
        return VisionShapes(
            architecture=self.kind,
            image_size=self.image_size,
            patch_size=self.patch_size,
            tokens=(self.image_size // self.patch_size) ** 2,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            layers=layers or self.num_hidden_layers,
            heads=self.num_attention_heads,
            norm_epsilon=self.layer_norm_eps,
            projection_dim=projection_dim,
            projector_widths=projector_widths,
            image_mean=normalisation[0],
            image_std=normalisation[1],
            activation=_ACTIVATIONS[self.hidden_act],
            class_token=self.class_token,
            class_position=self.class_token,
            patch_bias=not self.class_token,
            pre_norm=self.class_token,
            post_norm=post_norm,
        )


_ACTIVATIONS: dict[str, Any] = {"gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu_erf", "quick_gelu": "gelu_quick"}


class SiglipConfig(_EncoderConfig):
    """transformers' SiglipVisionConfig; the defaults are its own, for fields that published checkpoints leave out."""

    kind: ClassVar[str] = "siglip"
    class_token: ClassVar[bool] = False

    model_type: Literal["siglip_vision_model"]
    layer_norm_eps: Positive = 1e-6
    hidden_act: Literal["gelu_pytorch_tanh", "gelu"] = "gelu_pytorch_tanh"


class ClipConfig(_EncoderConfig):
    """transformers' CLIPVisionConfig; a class token before the patches, a norm before the first layer."""

    kind: ClassVar[str] = "clip"
    class_token: ClassVar[bool] = True

    model_type: Literal["clip_vision_model"]
    patch_size: Side = 32
    layer_norm_eps: Positive = 1e-5
    hidden_act: Literal["quick_gelu", "gelu"] = "quick_gelu"


def encoder_plans(vision: TowerShapes, patches: int, prefix: str) -> list[TensorPlan]:
    """Every tensor that is used of a SigLIP or CLIP tower whose checkpoint names begin with `prefix`."""
    hidden, wide, patch = vision.hidden_size, vision.intermediate_size, vision.patch_size
    embeddings = f"{prefix}embeddings."
    positions = (patches + int(vision.class_position), hidden)
    weight, *bias = affine(
        "v.patch_embd", f"{embeddings}patch_embedding", (hidden, 3, patch, patch), "vision patches", "fixed"
    )
    plans = [weight, *(bias if vision.patch_bias else [])]
    plans.append(
        TensorPlan("v.position_embd.weight", f"{embeddings}position_embedding.weight", positions, "fixed", SMALL)
    )
    if vision.class_token:
        plans.append(TensorPlan("v.class_embd", f"{embeddings}class_embedding", (hidden,), "fixed", SMALL))
    if vision.pre_norm:
        plans += affine("v.pre_ln", f"{prefix}pre_layrnorm", (hidden,), SMALL, "fixed")
    for i in range(vision.layers):
        source, target = f"{prefix}encoder.layers.{i}.", f"v.blk.{i}."
        plans += affine(f"{target}ln1", f"{source}layer_norm1", (hidden,), SMALL, "fixed")
        for name, saved in _PROJECTIONS:
            plans += affine(f"{target}{name}", f"{source}self_attn.{saved}", (hidden, hidden), "vision attention")
        plans += affine(f"{target}ln2", f"{source}layer_norm2", (hidden,), SMALL, "fixed")
        plans += affine(f"{target}ffn_up", f"{source}mlp.fc1", (wide, hidden), "vision feed-forward")
        plans += affine(f"{target}ffn_down", f"{source}mlp.fc2", (hidden, wide), "vision feed-forward")
    if vision.post_norm:
        plans += affine("v.post_ln", f"{prefix}post_layernorm", (hidden,), SMALL, "fixed")
    return plans


def drop_unused(found: dict[str, str], vision: TowerShapes, layers: int, prefix: str) -> None:
    """Take out of `found` what a tower of `layers` layers has behind the features that are used."""
    unused = [f"{prefix}encoder.layers.{i}." for i in range(vision.layers, layers)]
    unused += [f"{prefix}head."] if vision.post_norm else [f"{prefix}head.", f"{prefix}post_layernorm."]
    for name in [name for name in found if name.startswith(tuple(unused))]:
        del found[name]
