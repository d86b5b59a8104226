"""The model families that can be exported, one small file each."""

from __future__ import annotations

from pydantic import ValidationError

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families.base import Family, Model, TensorPlan
from hyt.export.families.llava import Llava
from hyt.export.families.paligemma import PaliGemma
from hyt.export.families.prismatic import MiniVla, OpenVla
from hyt.export.statement import Statement
from hyt.runtime.contract import first_problem

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
            try:
                return family.load(checkpoint, statement or Statement())
            except ValidationError as problem:  # of what was put together from several files
                field, message = first_problem(problem)
                raise CheckpointError(
                    f"{checkpoint.path}: {problem.title}: field {field}",
                    expected="files that fit together",
                    received=message,
                ) from None
    config = checkpoint.config if isinstance(checkpoint.config, dict) else {}
    raise CheckpointError(
        f"{checkpoint.path / 'config.json'}: field model_type",
        expected=" or ".join(family.description for family in FAMILIES),
        received=repr(config.get("model_type"))[:80],
    )
