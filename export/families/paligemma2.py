"""PaliGemma 2: SigLIP, one linear projector and Gemma 2, as transformers' PaliGemmaForConditionalGeneration saves it.

Both naming schemes are read: `model.language_model.layers...` and the older `language_model.model.layers...`.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families.base import Config, Model, TensorPlan, check_tensors
from hyt.export.families.gemma2 import Gemma2Config, gemma2_plans
from hyt.export.families.siglip import SiglipConfig, affine, siglip_plans
from hyt.runtime.contract import first_problem
from hyt.runtime.manifest import Shapes, answer_positions

_LEGACY = (
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_tower.", "model.vision_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
)
_HEAD = "lm_head.weight"
_EMBEDDING = "model.language_model.embed_tokens.weight"
_COMPARE_ROWS = 1024


class _PaliGemmaConfig(Config):
    text_config: Gemma2Config
    vision_config: SiglipConfig


class PaliGemma2:
    """The family `paligemma2`."""

    name = "paligemma2"
    description = "paligemma with a gemma2 text model"

    def matches(self, config: Any) -> bool:
        """A PaliGemma config whose text model is Gemma 2."""
        if not isinstance(config, dict) or config.get("model_type") != "paligemma":
            return False
        text = config.get("text_config")
        return isinstance(text, dict) and text.get("model_type") == "gemma2"

    def load(self, checkpoint: Checkpoint) -> Model:
        """Check config and tensors against each other; raises CheckpointError."""
        config = _read_config(checkpoint)
        shapes = _shapes(checkpoint, config)
        _check_window(checkpoint, shapes)
        found = _canonical_names(checkpoint)
        _check_tied_head(checkpoint, found)
        language = gemma2_plans(shapes.text, "model.language_model.")
        vision = siglip_plans(shapes.vision, "model.vision_tower.vision_model.")
        projector = (shapes.vision.projection_dim, shapes.vision.hidden_size)
        vision += affine("mm.0", "model.multi_modal_projector.linear", projector, "projector")
        check_tensors(checkpoint, found, [*language, *vision])
        notes = tuple(config.text_config.notes())
        return Model(self.name, shapes, _as_saved(language, found), _as_saved(vision, found), notes)


def _read_config(checkpoint: Checkpoint) -> _PaliGemmaConfig:
    try:
        return _PaliGemmaConfig.model_validate(checkpoint.config)
    except ValidationError as problem:
        field, message = first_problem(problem)
        subject = f"{checkpoint.path / 'config.json'}: field {field}"
        raise CheckpointError(subject, expected="a PaliGemma 2 config", received=message) from None


def _shapes(checkpoint: Checkpoint, config: _PaliGemmaConfig) -> Shapes:
    text = config.text_config.shapes(prefix_attention="bidirectional")
    try:
        return Shapes(text=text, vision=config.vision_config.shapes(text.hidden_size, checkpoint.contract.cameras))
    except ValueError as problem:
        raise CheckpointError(f"{checkpoint.path / 'hyt.json'}: field cameras", received=str(problem)) from None


def _check_window(checkpoint: Checkpoint, shapes: Shapes) -> None:
    """transformers applies no sliding window to a bidirectional prefix: a longer answer would have no reference."""
    tokens = {camera.name: shapes.vision.tokens for camera in checkpoint.contract.cameras}
    positions, window = answer_positions(checkpoint.contract, tokens), shapes.text.sliding_window
    if window is not None and window < positions:
        raise CheckpointError(
            f"{checkpoint.path / 'config.json'}: field text_config.sliding_window",
            expected=f"at least the {positions} positions of prompt, thought and action",
            received=str(window),
        )


def _canonical_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Today's name of each tensor -> its name in the checkpoint."""
    found: dict[str, str] = {}
    for saved in checkpoint.tensors:
        name = next((new + saved[len(old) :] for old, new in _LEGACY if saved.startswith(old)), saved)
        if name in found:
            received = f"{found[name]!r} and {saved!r}"
            raise CheckpointError(f"{checkpoint.path}: weights", expected=f"tensor {name!r} once", received=received)
        found[name] = saved
    return found


def _check_tied_head(checkpoint: Checkpoint, found: dict[str, str]) -> None:
    """Gemma 2 decodes with its embedding; a head that was saved beside it must be the same matrix."""
    head, embedding = found.pop(_HEAD, None), found.get(_EMBEDDING)
    if head is None or embedding is None:
        return
    shape = checkpoint.tensors[embedding].shape
    same = checkpoint.tensors[head].shape == shape
    for first in range(0, shape[0] if same else 0, _COMPARE_ROWS):
        count = min(_COMPARE_ROWS, shape[0] - first)
        a, b = (checkpoint.read_rows(name, first, count) for name in (head, embedding))
        same = same and bool((a == b).all())
    if not same:
        raise CheckpointError(
            f"{checkpoint.path}: tensor {head!r}", expected="the embedding (tied)", received="another matrix"
        )


def _as_saved(plans: list[TensorPlan], found: dict[str, str]) -> tuple[TensorPlan, ...]:
    return tuple(TensorPlan(p.name, found[p.source], p.shape, p.role, p.group, p.add) for p in plans)
