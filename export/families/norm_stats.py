"""The statistics of an OpenVLA-style checkpoint: `norm_stats` of config.json, or dataset_statistics.json beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.runtime.contract import Finite, first_problem

FILE = "dataset_statistics.json"
_Values = Annotated[tuple[Finite, ...], Field(min_length=1, max_length=1024)]


class ActionStatistics(BaseModel):
    """Quantiles of each dimension; `mask` says which dimensions are normalised by them (all, where it is missing)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    q01: _Values
    q99: _Values
    mask: Annotated[tuple[bool, ...], Field(max_length=1024)] | None = None


@dataclass(frozen=True)
class Ranges:
    """What -1 and 1 stand for in each dimension of one data set."""

    key: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    mask: tuple[bool, ...]


def read_norm_stats(checkpoint: Checkpoint) -> dict[str, Any]:
    """The statistics by data set, {} where there are none; raises CheckpointError where two files disagree."""
    config = checkpoint.config.get("norm_stats") or {}
    file = checkpoint.read_json(FILE) or {}
    for name, value in (("config.json: field norm_stats", config), (FILE, file)):
        if not isinstance(value, dict):
            raise CheckpointError(
                f"{checkpoint.path / name}", expected="data sets by name", received=type(value).__name__
            )
    for key in config.keys() & file.keys():
        if _parse(checkpoint, key, config[key]) != _parse(checkpoint, key, file[key]):
            raise CheckpointError(
                f"{checkpoint.path}: statistics of {key!r}",
                expected=f"the same in config.json and {FILE}",
                received="others",
                remedy="remove the one that is not this policy's",
            )
    return {**file, **config}


def choose_ranges(checkpoint: Checkpoint, statistics: dict[str, Any], key: str | None) -> Ranges:
    """The ranges of data set `key`, or of the only one; raises CheckpointError that lists the keys."""
    if not statistics:
        raise CheckpointError(
            str(checkpoint.path),
            expected=f"norm_stats in config.json or {FILE}: without them no action has a scale",
            received="none",
        )
    names = ", ".join(sorted(statistics))
    if key is None and len(statistics) > 1:
        raise CheckpointError(
            str(checkpoint.path), expected="--unnorm-key with one data set of several", received="none", remedy=names
        )
    key = next(iter(statistics)) if key is None else key
    if key not in statistics:
        raise CheckpointError(str(checkpoint.path), expected=f"--unnorm-key among {names}", received=repr(key))
    action = _parse(checkpoint, key, statistics[key])
    mask = action.mask or (True,) * len(action.q01)
    if not len(action.q01) == len(action.q99) == len(mask):
        raise CheckpointError(
            f"{checkpoint.path}: statistics of {key!r}",
            expected="q01, q99 and mask of one length",
            received=f"{len(action.q01)}, {len(action.q99)}, {len(mask)}",
        )
    for i, (first, last) in enumerate(zip(action.q01, action.q99, strict=True)):
        if first > last:
            raise CheckpointError(
                f"{checkpoint.path}: statistics of {key!r}: dimension {i}",
                expected="a q01 that is not above its q99",
                received=f"{first:g} and {last:g}",
            )
    low = tuple(q if normalised else -1.0 for q, normalised in zip(action.q01, mask, strict=True))
    high = tuple(q if normalised else 1.0 for q, normalised in zip(action.q99, mask, strict=True))
    return Ranges(key, low, high, mask)


def _parse(checkpoint: Checkpoint, key: str, value: Any) -> ActionStatistics:
    try:
        return ActionStatistics.model_validate(value.get("action") if isinstance(value, dict) else value)
    except ValidationError as problem:
        field, message = first_problem(problem)
        raise CheckpointError(
            f"{checkpoint.path}: statistics of {key!r}: field action.{field}",
            expected="q01 and q99 of the actions",
            received=message,
        ) from None
