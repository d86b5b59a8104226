"""The model families that can be trained: what differs between transformers' vision-language models, one file each."""

from __future__ import annotations

from typing import Any

from hyt.errors import CheckpointError
from hyt.training.families.base import Family
from hyt.training.families.llava import Llava
from hyt.training.families.paligemma import PaliGemma

FAMILIES: dict[str, Family] = {family.model_type: family for family in (PaliGemma(), Llava())}
"""By the `model_type` in config.json."""


def family_of(config: Any) -> Family:
    """The family of a model by its transformers configuration; raises CheckpointError when it is not a known one."""
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise CheckpointError(
            f"model_type {config.model_type!r}", expected=f"one of {', '.join(FAMILIES)}", remedy="name another model"
        )
    return family


__all__ = ["FAMILIES", "Family", "family_of"]
