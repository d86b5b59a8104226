"""The model families that can be exported, one small file each."""

from __future__ import annotations

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families.base import Family, Model, TensorPlan
from hyt.export.families.paligemma2 import PaliGemma2

__all__ = ["FAMILIES", "Family", "Model", "TensorPlan", "load_model"]

FAMILIES: tuple[Family, ...] = (PaliGemma2(),)


def load_model(checkpoint: Checkpoint) -> Model:
    """Find the family of a checkpoint and let it check all; raises CheckpointError."""
    for family in FAMILIES:
        if family.matches(checkpoint.config):
            return family.load(checkpoint)
    config = checkpoint.config if isinstance(checkpoint.config, dict) else {}
    raise CheckpointError(
        f"{checkpoint.path / 'config.json'}: field model_type",
        expected=" or ".join(family.description for family in FAMILIES),
        received=repr(config.get("model_type"))[:80],
    )
