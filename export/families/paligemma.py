"""PaliGemma and PaliGemma 2: SigLIP, one linear projector, Gemma, as PaliGemmaForConditionalGeneration saves them.

Both naming schemes are read: `model.language_model.layers...` and the older `language_model.model.layers...`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from hyt.errors import CheckpointError
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
from hyt.export.families.gemma import Gemma2Config, GemmaConfig
from hyt.export.families.siglip import SiglipConfig, encoder_plans
from hyt.export.families.vision import camera_normalisation, projector_plans
from hyt.export.statement import Statement, own_contract
from hyt.runtime.contract import Contract
from hyt.runtime.manifest import Shapes, answer_positions, image_tokens_of

# transformers' older names of the parts of an image-and-text model.
LEGACY = (
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_tower.", "model.vision_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
)
_HEAD = "lm_head.weight"
_LANGUAGE = "model.language_model."
_TOWER = "model.vision_tower.vision_model."


class _PaliGemmaConfig(Config):
    text_config: Annotated[GemmaConfig | Gemma2Config, Field(discriminator="model_type")]
    vision_config: SiglipConfig


class PaliGemma:
    """One family for each of the two text models."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.description = f"paligemma with a {text} text model"
        self._text = text

    def matches(self, config: Any) -> bool:
        """A PaliGemma config with this text model."""
        if not isinstance(config, dict) or config.get("model_type") != "paligemma":
            return False
        text = config.get("text_config")
        return isinstance(text, dict) and text.get("model_type") == self._text

    def load(self, checkpoint: Checkpoint, statement: Statement) -> Model:
        """Check config and tensors against each other; raises CheckpointError."""
        contract = own_contract(checkpoint, statement)
        config = read_config(checkpoint, _PaliGemmaConfig, "a PaliGemma config")
        text = config.text_config.shapes(prefix_attention="bidirectional")
        normalisation = camera_normalisation(checkpoint, contract)
        shapes = Shapes(text=text, vision=config.vision_config.shapes(text.hidden_size, normalisation))
        _check_window(checkpoint, contract, shapes)
        found = canonical_names(checkpoint, LEGACY)
        check_tied_head(checkpoint, found, _HEAD, f"{_LANGUAGE}embed_tokens.weight")
        language = config.text_config.plans(_LANGUAGE, _HEAD)
        vision = encoder_plans(shapes.vision, shapes.vision.tokens, _TOWER)
        vision += projector_plans(shapes.vision, ["model.multi_modal_projector.linear"])
        check_tensors(checkpoint, found, [*language, *vision])
        notes = tuple(config.text_config.notes())
        return Model(self.name, contract, shapes, as_saved(language, found), as_saved(vision, found), notes)


def _check_window(checkpoint: Checkpoint, contract: Contract, shapes: Shapes) -> None:
    """transformers applies no sliding window to a bidirectional prefix: a longer answer would have no reference."""
    tokens = image_tokens_of(contract, shapes.vision)
    positions, window = answer_positions(contract, tokens), shapes.text.sliding_window
    if window is not None and window < positions:
        raise CheckpointError(
            f"{checkpoint.path / 'config.json'}: field text_config.sliding_window",
            expected=f"at least the {positions} positions of prompt, thought and action",
            received=str(window),
        )
