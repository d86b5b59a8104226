"""Measures what each unit of matrices in each type costs the float policy, all else being float, and chooses by it.

The rounded weights are written into the float bundle's own file for as long as its answers are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from numpy.typing import NDArray

from hyt.export.gguf_writer import RounderFor
from hyt.export.inputs import input_name
from hyt.export.parity import ask, ask_logits, divergence
from hyt.export.quantization import Request, TypeChoice, choose_head_types, stored_size
from hyt.export.quantization.mixed import FREE, Budget, Option, Unit, allocate, count_weights, units_of
from hyt.export.quantization.types import EMBEDDING, OUTPUT
from hyt.export.reference import Reference
from hyt.runtime import _core
from hyt.runtime.manifest import LANGUAGE_NAME, VISION_NAME
from hyt.runtime.policy import Policy

MOST_SAMPLES = 16
"""Calibration observations by which a unit is measured: what is measured is smooth, and is measured often."""
_ROWS = 4096  # rounded at a time


class FloatWeights:
    """The matrices of a float bundle, to be changed in place; `folder` holds language.gguf and vision.gguf."""

    def __init__(self, folder: Path) -> None:
        readers = [GGUFReader(folder / name, "r+") for name in (LANGUAGE_NAME, VISION_NAME)]
        self._data: dict[str, NDArray[np.generic]] = {t.name: t.data for reader in readers for t in reader.tensors}

    @contextmanager
    def rounded(self, unit: Unit, type: str, rounder_for: RounderFor) -> Iterator[None]:
        """While the block runs, the unit's weights are what the type gives back."""
        kept = {plan.name: self._data[plan.name].copy() for plan in unit.plans}
        try:
            for plan in unit.plans:
                rounder, held = rounder_for(plan, type), self._data[plan.name]
                for first in range(0, len(held), _ROWS):
                    rows = held[first : first + _ROWS].astype(np.float32)
                    stored, _ = rounder(rows)
                    held[first : first + _ROWS] = _core.dequantize(type, stored.reshape(-1), *rows.shape)
            yield
        finally:
            for name, values in kept.items():
                self._data[name][...] = values


def choose_mixed(
    reference: Reference, budget: Budget, request: Request, rounder_for: RounderFor
) -> tuple[dict[str, TypeChoice], list[Option]]:
    """The type of every tensor of the language and the vision part within a budget, and all that was measured.

    request: types of the embedding, the output matrix and the head that are not to be chosen. Raises InputError for a
    budget that even the smallest types exceed.
    """
    plans, heads = reference.draft.plans, reference.draft.heads.plans
    kept = [plan for plan in plans if plan.role == "fixed"]
    spent = sum(stored_size("f32", plan.shape) for plan in kept)
    spent += sum(stored_size(choose_head_types([plan], request)[plan.name].type, plan.shape) for plan in heads)
    fixed = {name: type for name, type in ((EMBEDDING, request.embedding), (OUTPUT, request.output)) if type}
    units = units_of(plans, {plan.name: input_name(plan.name) for plan in plans}, fixed)
    options = _measure(reference, units, rounder_for)
    chosen = allocate(options, budget.limit(count_weights((*plans, *heads))) - spent)
    types = {plan.name: chosen[unit.name].type for unit in units for plan in unit.plans}
    return {plan.name: TypeChoice(t, t) for plan in plans for t in (types.get(plan.name, "f32"),)}, options


def _measure(reference: Reference, units: Sequence[Unit], rounder_for: RounderFor) -> list[Option]:
    """Every option of every unit, with the divergence that it alone causes."""
    samples = reference.calibration.fit[:MOST_SAMPLES]
    core = reference.open()
    with Policy(core.bundle, core) as policy:
        prompt = policy.prompt
        answers = ask(policy, samples, logits_of=core)
    continuous = reference.bundle.contract.action.kind == "continuous"

    def error() -> float:
        core = reference.open()
        with Policy(core.bundle, core) as policy:
            given = ask(policy, samples) if continuous else ask_logits(core, prompt, samples, answers)
        return divergence(answers, given)

    weights = FloatWeights(reference.bundle.path)
    count = reference.counter("measuring types", sum(len(unit.types) for unit in units))
    options = []
    for unit in units:
        for type in unit.types:
            found = 0.0
            if type != FREE and len(unit.types) > 1:
                with weights.rounded(unit, type, rounder_for):
                    found = error()
            options.append(Option(unit.name, type, unit.bytes(type), found))
            count()
    return options
