"""LLaVA-style checkpoints: CLIP or SigLIP, a two-layer projector, Llama or Qwen, in transformers' LLaVA layout.

The contract stands in hyt.json: LLaVA itself has no actions. Images are seen by causal attention, as all else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hyt.export.checkpoint import Checkpoint
from hyt.export.families.base import (
    Config,
    Model,
    as_saved,
    canonical_names,
    check_tensors,
    check_tied_head,
    read_config,
)
from hyt.export.families.llama import LlamaConfig
from hyt.export.families.paligemma import LEGACY
from hyt.export.families.qwen import Qwen2Config, Qwen3Config
from hyt.export.families.siglip import ClipConfig, SiglipConfig, drop_unused, encoder_plans
from hyt.export.families.vision import camera_normalisation, projector_plans
from hyt.export.statement import Statement, own_contract
from hyt.runtime.manifest import Shapes

_HEAD = "lm_head.weight"
_LANGUAGE = "model.language_model."
_TOWER = "model.vision_tower.vision_model."
_PROJECTOR = "model.multi_modal_projector."


class _LlavaConfig(Config):
    # No Gemma: transformers' scales images too by the root of its width, the core only text.
    text_config: Annotated[LlamaConfig | Qwen2Config | Qwen3Config, Field(discriminator="model_type")]
    vision_config: Annotated[ClipConfig | SiglipConfig, Field(discriminator="model_type")]
    vision_feature_layer: Annotated[int, Field(ge=-64, le=-1)] = -2
    vision_feature_select_strategy: Literal["default", "full"] = "default"
    projector_hidden_act: Literal["gelu"] = "gelu"
    multimodal_projector_bias: Literal[True] = True

    @model_validator(mode="after")
    def _features_are_patches(self) -> _LlavaConfig:
        # "default" leaves out the first token of whatever encoder, which SigLIP has no class token for.
        wanted = "default" if self.vision_config.class_token else "full"
        if self.vision_feature_select_strategy != wanted:
            kind = self.vision_config.kind
            raise ValueError(
                f"vision_feature_select_strategy must be {wanted!r} with {kind}, so that only patches go on"
            )
        if self.layers < 1:
            raise ValueError(f"vision_feature_layer {self.vision_feature_layer} is before the first layer")
        return self

    @property
    def layers(self) -> int:
        """Layers of the image encoder up to its features."""
        return self.vision_config.num_hidden_layers + 1 + self.vision_feature_layer


class Llava:
    """The family `llava`."""

    name = "llava"
    description = "llava with clip or siglip and a llama, qwen2 or qwen3 text model"

    def matches(self, config: Any) -> bool:
        """A LLaVA config."""
        return isinstance(config, dict) and config.get("model_type") == "llava"

    def load(self, checkpoint: Checkpoint, statement: Statement) -> Model:
        """Check config and tensors against each other; raises CheckpointError."""
        contract = own_contract(checkpoint, statement)
        config = read_config(checkpoint, _LlavaConfig, "a LLaVA config")
        text = config.text_config.shapes(prefix_attention="causal")
        encoder = config.vision_config.shapes(
            text.hidden_size,
            camera_normalisation(checkpoint, contract),
            layers=config.layers,
            post_norm=False,
            projector_widths=(text.hidden_size,),
        )
        shapes = Shapes(text=text, vision=encoder)
        found = canonical_names(checkpoint, LEGACY)
        if text.tied_embeddings:
            check_tied_head(checkpoint, found, _HEAD, f"{_LANGUAGE}embed_tokens.weight")
        drop_unused(found, encoder, config.vision_config.num_hidden_layers, _TOWER)
        language = config.text_config.plans(_LANGUAGE, _HEAD)
        vision = encoder_plans(encoder, encoder.tokens, _TOWER)
        vision += projector_plans(encoder, [f"{_PROJECTOR}linear_1", f"{_PROJECTOR}linear_2"])
        check_tensors(checkpoint, found, [*language, *vision])
        return Model(self.name, contract, shapes, as_saved(language, found), as_saved(vision, found))
