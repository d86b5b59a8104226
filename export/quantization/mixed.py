"""Mixed precision: gives every matrix the type that costs the policy least, within a budget of bytes.

Matrices that the core lays one below the other (query, key and value; gate and up) share a type: a *unit*. Each unit is
tried in each type alone, all else in float, and what the answers then diverge from the float policy's is the unit's
error in that type; errors of several units are taken to add up. From the smallest types on, that change is made which
saves the most error for a byte, until none fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hyt.errors import InputError
from hyt.export.families.base import TensorPlan
from hyt.export.quantization.types import block_size, stored_size

CANDIDATES = ("q3_k", "iq4_xs", "q4_0", "q5_0", "q6_k", "q8_0", "f16")
"""Types that a unit is tried in, where its rows divide into their blocks; f16 counts as free of error."""
FREE = "f16"


@dataclass(frozen=True)
class Budget:
    """What all tensors together may take: `bytes`, or `bits_per_weight` on average; one of the two."""

    bytes: int | None = None
    bits_per_weight: float | None = None

    def __post_init__(self) -> None:
        """Raise InputError unless one of the two is given and can be meant."""
        if (self.bytes is None) == (self.bits_per_weight is None):
            raise InputError("budget", expected="either a size or bits per weight", received="both or neither")
        if self.bytes is not None and self.bytes < 1:
            raise InputError("budget: size", expected="at least 1 byte", received=str(self.bytes))
        if self.bits_per_weight is not None and not 0 < self.bits_per_weight <= 32:
            raise InputError("budget: bits per weight", expected="0 to 32", received=str(self.bits_per_weight))

    def limit(self, weights: int) -> int:
        """The bytes that tensors of so many numbers may take."""
        return self.bytes if self.bytes is not None else int((self.bits_per_weight or 0) * weights / 8)

    def options(self) -> dict[str, str]:
        """The options of the command line that say the same."""
        if self.bytes is not None:
            return {"--size": str(self.bytes)}
        return {"--bits-per-weight": str(self.bits_per_weight)}


@dataclass(frozen=True)
class Unit:
    """Tensors that share a type, by the name of the first; `types` are those it may have."""

    name: str
    plans: tuple[TensorPlan, ...]
    types: tuple[str, ...]

    def bytes(self, type: str) -> int:
        """What the unit takes in a type."""
        return sum(stored_size(type, plan.shape) for plan in self.plans)


@dataclass(frozen=True)
class Option:
    """One type of one unit: its bytes and the error that it alone causes."""

    unit: str
    type: str
    bytes: int
    error: float


def units_of(plans: Iterable[TensorPlan], unit_name: Mapping[str, str], fixed: Mapping[str, str]) -> list[Unit]:
    """The units of all matrices, in the order of their tensors; those of `fixed` may have that type alone.

    unit_name: of each tensor by its name
    """
    grouped: dict[str, list[TensorPlan]] = {}
    for plan in plans:
        if plan.role != "fixed":
            grouped.setdefault(unit_name[plan.name], []).append(plan)
    units = []
    for name, members in grouped.items():
        known = [fixed[name]] if name in fixed else CANDIDATES
        types = tuple(type for type in known if all(p.shape[-1] % block_size(type) == 0 for p in members))
        units.append(Unit(name, tuple(members), types or (FREE,)))
    return units


def allocate(options: Sequence[Option], limit: int) -> dict[str, Option]:
    """One option for each unit, of at most `limit` bytes in all; raises InputError when the smallest take more."""
    by_unit: dict[str, list[Option]] = {}
    for option in sorted(options, key=lambda o: (o.bytes, o.error, o.type)):
        kept = by_unit.setdefault(option.unit, [])
        if not kept or option.error < kept[-1].error:  # larger without being better is no choice
            kept.append(option)
    chosen = {unit: kept[0] for unit, kept in by_unit.items()}
    left = limit - sum(option.bytes for option in chosen.values())
    if left < 0:
        raise InputError(
            "budget", expected=f"at least {limit - left} bytes for the matrices", received=f"{limit} bytes"
        )
    while steps := [
        option
        for unit, kept in by_unit.items()
        for option in kept
        if 0 < option.bytes - chosen[unit].bytes <= left and option.error < chosen[unit].error
    ]:
        best = max(steps, key=lambda o: (_saved_for_a_byte(chosen[o.unit], o), -o.bytes, o.unit))
        left -= best.bytes - chosen[best.unit].bytes
        chosen[best.unit] = best
    return chosen


def _saved_for_a_byte(present: Option, option: Option) -> float:
    return (present.error - option.error) / (option.bytes - present.bytes)


def count_weights(plans: Iterable[TensorPlan]) -> int:
    """Numbers in all tensors."""
    return sum(math.prod(plan.shape) for plan in plans)
