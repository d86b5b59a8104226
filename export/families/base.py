"""What a model family says so that its checkpoints can be exported: its shapes, and the place of every tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.statement import Statement
from hyt.runtime.contract import Contract, first_problem
from hyt.runtime.manifest import Shapes

ConfigType = TypeVar("ConfigType", bound=BaseModel)
_COMPARE_ROWS = 1024
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
    pairs: rows of one head (its head_dim) where the checkpoint stores its two rotary halves one after the other and
           llama.cpp wants their rows in turn (architecture llama); 0 elsewhere
    first: first row that is taken of the checkpoint tensor, where several tensors are made of one
    saved: shape of the checkpoint tensor where it is another; one with a leading 1 is read as without
    zeros: how many of its last rows and of its last columns are zero and in no checkpoint (see `hyt.export.padding`)
    values: all of a vector's numbers, where they follow from config.json and stand in no checkpoint
    """

    name: str
    source: str
    shape: tuple[int, ...]
    role: Role
    group: str
    add: float = 0.0
    pairs: int = 0
    first: int = 0
    saved: tuple[int, ...] | None = None
    zeros: tuple[int, int] = (0, 0)
    values: tuple[float, ...] = ()

    @property
    def saved_shape(self) -> tuple[int, ...]:
        """Shape of the checkpoint tensor."""
        return self.saved or self.shape


@dataclass(frozen=True)
class Model:
    """A checkpoint as its family understands it: contract, shapes, and the tensors of each GGUF file in their order."""

    family: str
    contract: Contract
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

    def load(self, checkpoint: Checkpoint, statement: Statement) -> Model:
        """Check the whole checkpoint and place its tensors; raises CheckpointError, reads no more than it must.

        statement: what the checkpoint leaves open and its user says.
        """


def read_config(checkpoint: Checkpoint, kind: type[ConfigType], expected: str) -> ConfigType:
    """config.json as `kind`; raises CheckpointError that names its first bad field."""
    try:
        return kind.model_validate(checkpoint.config)
    except ValidationError as problem:
        field, message = first_problem(problem)
        subject = f"{checkpoint.path / 'config.json'}: field {field}"
        raise CheckpointError(subject, expected=expected, received=message) from None


def canonical_names(checkpoint: Checkpoint, renamed: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The family's name of each tensor -> its name in the checkpoint; `renamed` are (prefix there, prefix here)."""
    found: dict[str, str] = {}
    for saved in checkpoint.tensors:
        name = next((new + saved[len(old) :] for old, new in renamed if saved.startswith(old)), saved)
        if name in found:
            received = f"{found[name]!r} and {saved!r}"
            raise CheckpointError(f"{checkpoint.path}: weights", expected=f"tensor {name!r} once", received=received)
        found[name] = saved
    return found


def check_tied_head(checkpoint: Checkpoint, found: dict[str, str], head: str, embedding: str) -> None:
    """Drop a head that was saved beside the embedding it is tied to; raises CheckpointError when it is another."""
    head, embedding = found.pop(head, ""), found.get(embedding, "")
    if not head or not embedding:
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


def as_saved(plans: list[TensorPlan], found: dict[str, str]) -> tuple[TensorPlan, ...]:
    """The plans with their sources as the checkpoint names them."""
    return tuple(plan if plan.values else replace(plan, source=found[plan.source]) for plan in plans)


def check_tensors(checkpoint: Checkpoint, found: dict[str, str], plans: Iterable[TensorPlan]) -> None:
    """Refuse a checkpoint with a missing, an unknown or a misshapen tensor.

    found: the family's name of each tensor in the checkpoint -> its name there; plans name their source as the family.
    """
    expected = {plan.source: plan.saved_shape for plan in plans if not plan.values}
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
