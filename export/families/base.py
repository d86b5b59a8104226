"""What a model family says so that its checkpoints can be exported: its shapes, and the place of every tensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.runtime.manifest import Shapes

Role = Literal["linear", "embedding", "fixed"]
LayerCount = Annotated[int, Field(ge=1, le=512)]


class Config(BaseModel):
    """A part of a config.json: the fields that matter are checked, those that do not are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


@dataclass(frozen=True)
class TensorPlan:
    """One GGUF tensor: its name, the checkpoint tensor it is made of, and what it is.

    shape: as numpy sees it, (rows, columns) for a matrix
    role:  linear matrices are quantised, the token embedding is quantised with care, fixed tensors stay float32
    group: the line of the report that counts it
    add:   constant added to every element (Gemma's norms multiply by 1 + w, GGUF stores 1 + w)
    """

    name: str
    source: str
    shape: tuple[int, ...]
    role: Role
    group: str
    add: float = 0.0


@dataclass(frozen=True)
class Model:
    """A checkpoint as its family understands it: shapes, and the tensors of each GGUF file in their order."""

    family: str
    shapes: Shapes
    language: tuple[TensorPlan, ...]
    vision: tuple[TensorPlan, ...]
    notes: tuple[str, ...] = ()


class Family(Protocol):
    """A family of checkpoints."""

    name: str
    description: str

    def matches(self, config: Any) -> bool:
        """Whether a config.json is of this family."""

    def load(self, checkpoint: Checkpoint) -> Model:
        """Check the whole checkpoint and place its tensors; raises CheckpointError, reads no more than it must."""


def check_tensors(checkpoint: Checkpoint, found: dict[str, str], plans: Iterable[TensorPlan]) -> None:
    """Refuse a checkpoint with a missing, an unknown or a misshapen tensor.

    found: the family's name of each tensor in the checkpoint -> its name there; plans name their source as the family.
    """
    expected = {plan.source: plan.shape for plan in plans}
    if missing := [name for name in expected if name not in found]:
        raise CheckpointError(
            f"{checkpoint.path}: weights",
            expected=f"tensor {missing[0]!r}",
            received=f"none ({_count(missing)} missing)",
            remedy="check that config.json belongs to these weights",
        )
    if unknown := sorted(found[name] for name in found if name not in expected):
        raise CheckpointError(
            f"{checkpoint.path}: weights",
            expected="only the tensors that config.json describes",
            received=f"{unknown[0]!r} ({_count(unknown)} unknown)",
            remedy="check that config.json belongs to these weights",
        )
    for name, shape in expected.items():
        actual = checkpoint.tensors[found[name]].shape
        if actual != shape:
            raise CheckpointError(
                f"{checkpoint.path}: tensor {found[name]!r}",
                expected=f"shape {list(shape)} by config.json",
                received=f"{list(actual)}",
            )


def _count(names: list[str]) -> str:
    return f"{len(names)} tensor{'s' if len(names) != 1 else ''}"
