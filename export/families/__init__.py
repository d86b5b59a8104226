"""The model families that can be exported, one small file each."""

from __future__ import annotations

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families.base import Family, Model, TensorPlan
from hyt.export.families.llava import Llava
from hyt.export.families.paligemma import PaliGemma
from hyt.export.families.prismatic import MiniVla, OpenVla
from hyt.export.statement import Statement

__all__ = ["FAMILIES", "Family", "Model", "TensorPlan", "load_model"]

FAMILIES: tuple[Family, ...] = (
    PaliGemma("paligemma", "gemma"),
    PaliGemma("paligemma2", "gemma2"),
    OpenVla(),
    MiniVla(),
    Llava(),
)


def load_model(checkpoint: Checkpoint, statement: Statement | None = None) -> Model:
    """Find the family of a checkpoint and let it check all; raises CheckpointError."""
    for family in FAMILIES:
        if family.matches(checkpoint.config):
            return family.load(checkpoint, statement or Statement())
    config = checkpoint.config if isinstance(checkpoint.config, dict) else {}
    raise CheckpointError(
        f"{checkpoint.path / 'config.json'}: field model_type",
        expected=" or ".join(family.description for family in FAMILIES),
        received=repr(config.get("model_type"))[:80],
    )
