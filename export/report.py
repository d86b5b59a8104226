"""What an export did: sizes, types, quantisation error by tensor group, fallbacks; as JSON and as a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from hyt.export.families.base import TensorPlan
from hyt.export.padding import Padding
from hyt.export.parity import Parity
from hyt.export.quantization import ErrorSum, Method, TypeChoice, method_of, stored_size
from hyt.export.quantization.mixed import Option


@dataclass(frozen=True)
class Group:
    """One group of tensors; bytes as float32 and as stored, types by count, error relative (RMS) and largest."""

    file: str
    name: str
    tensors: int
    types: dict[str, int]
    float32_bytes: int
    bytes: int
    relative_rms_error: float
    largest_error: float


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as it is stored: its type, how its weights were rounded, its bytes."""

    file: str
    tensor: str
    type: str
    method: Method
    bytes: int


@dataclass(frozen=True)
class Fallback:
    """A tensor that has another type than the policy wanted."""

    tensor: str
    wanted: str
    type: str
    reason: str


@dataclass
class Report:
    """The content of report.json."""

    command: str
    name: str
    family: str
    quantization: str
    method: Method = "plain"
    groups: list[Group] = field(default_factory=list)
    fallbacks: list[Fallback] = field(default_factory=list)
    padded: list[Padding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tensors: list[StoredTensor] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    verification: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] | None = None
    parity: list[Parity] = field(default_factory=list)
    closed_loop: dict[str, Any] | None = None

    def add_file(
        self, file: str, plans: Iterable[TensorPlan], choices: Mapping[str, TypeChoice], errors: Mapping[str, ErrorSum]
    ) -> None:
        """Count the tensors of one GGUF file, group by group in the order in which they appear."""
        plans = list(plans)
        for group in dict.fromkeys(plan.group for plan in plans):
            self.groups.append(_group(file, group, [p for p in plans if p.group == group], choices, errors))
        for plan in plans:
            choice = choices[plan.name]
            method = method_of(plan, choice.type, self.method)
            self.tensors.append(
                StoredTensor(file, plan.name, choice.type, method, stored_size(choice.type, plan.shape))
            )
            if choice.reason:
                self.fallbacks.append(Fallback(plan.name, choice.wanted, choice.type, choice.reason))

    @property
    def float32_bytes(self) -> int:
        """Bytes of all tensors as float32."""
        return sum(group.float32_bytes for group in self.groups)

    @property
    def bytes(self) -> int:
        """Bytes of all tensors as stored."""
        return sum(group.bytes for group in self.groups)

    def data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        parity = [judged.data() for judged in self.parity]
        return {**asdict(self), "parity": parity, "float32_bytes": self.float32_bytes, "bytes": self.bytes}

    def padded_lines(self) -> list[str]:
        """The rows that were padded, for a person."""
        return [
            _line(f"rows of {padding.columns} padded with zeros to {padding.padded}", list(padding.tensors))
            for padding in self.padded
        ]

    def fallback_lines(self) -> list[str]:
        """The fallbacks for a person, those with the same reason in one line."""
        lines: dict[str, list[str]] = {}
        for fallback in self.fallbacks:
            reason = f"{fallback.type} in place of {fallback.wanted}, {fallback.reason}"
            lines.setdefault(reason, []).append(fallback.tensor)
        return [_line(reason, tensors) for reason, tensors in lines.items()]

    def table(self) -> Table:
        """Sizes, types and errors for a person."""
        table = Table(title=Text(f"{self.name}: {self.family}, {self.quantization}"), title_justify="left")
        for column in ("tensors", "types", "float32", "now", "relative RMS error", "largest error"):
            table.add_column(column, justify="left" if column in ("tensors", "types") else "right")
        for group in self.groups:
            types = ", ".join(f"{count} {type}" for type, count in group.types.items())
            error = (
                (f"{group.relative_rms_error:.2%}", f"{group.largest_error:.2g}") if group.largest_error else ("-", "-")
            )
            table.add_row(group.name, types, megabytes(group.float32_bytes), megabytes(group.bytes), *error)
        table.add_section()
        table.add_row("all", "", megabytes(self.float32_bytes), megabytes(self.bytes), "", "")
        return table


def megabytes(size: int) -> str:
    """A size for a person, in units of 10**6 bytes."""
    return f"{size / 1e6:.2f} MB"


def _line(what: str, tensors: list[str]) -> str:
    return f"{len(tensors)} x {what}: {', '.join(tensors[:3])}{', ...' if len(tensors) > 3 else ''}"


def _group(
    file: str, name: str, plans: list[TensorPlan], choices: Mapping[str, TypeChoice], errors: Mapping[str, ErrorSum]
) -> Group:
    total = ErrorSum()
    for plan in plans:
        total.add(errors[plan.name])
    return Group(
        file=file,
        name=name,
        tensors=len(plans),
        types=dict(sorted(Counter(choices[plan.name].type for plan in plans).items())),
        float32_bytes=sum(4 * math.prod(plan.shape) for plan in plans),
        bytes=sum(stored_size(choices[plan.name].type, plan.shape) for plan in plans),
        relative_rms_error=total.relative,
        largest_error=total.largest,
    )
