"""Gathers what goes into the weight matrices of a policy while it answers, a part of the model at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from hyt.export.calibration.samples import Sample
from hyt.export.families.base import TensorPlan
from hyt.export.parity.answers import ask
from hyt.export.quantization.importance import InputStatistics
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.policy import Policy

GRAM_BYTES = 2 << 30
"""Memory for matrices x x^T; when all do not fit, the samples are run through the policy several times."""

GENERATED = 3.0
"""How often a row counts that the policy generates, one at a time, against one of the prefix: there are few of the
former, and every token is read from them."""

_STACKED = (
    (re.compile(r"attn_[kv]\.weight$"), "attn_q.weight"),
    (re.compile(r"^(blk\.\d+\.)ffn_up\.weight$"), r"\1ffn_gate.weight"),
    (re.compile(r"\.chosen$"), ""),  # the rows of an output matrix that stand for actions
)


def input_name(name: str) -> str:
    """The matrix by whose name the core tells of the inputs of `name`: of several with the same input the first."""
    for pattern, replacement in _STACKED:
        name = pattern.sub(replacement, name)
    return name


class Inputs:
    """Statistics of the inputs of a policy's matrices, gathered when they are first asked for.

    plans: the tensors in the order in which they will be asked for; gram: whether x x^T of a tensor is wanted too. At
    most about `memory` bytes of statistics are `held`, by the name of the first matrix that an input goes into.
    """

    def __init__(
        self,
        policy: Policy,
        backend: CoreBackend,
        samples: Sequence[Sample],
        plans: Iterable[TensorPlan],
        *,
        gram: Callable[[TensorPlan], bool],
        memory: int,
        on_sample: Callable[[], None] = lambda: None,
    ) -> None:
        self._policy, self._backend, self._samples = policy, backend, samples
        self._columns: dict[str, int] = {}
        self._gram: set[str] = set()
        for plan in plans:
            name = input_name(plan.name)
            self._columns[name] = plan.shape[-1]
            if gram(plan):
                self._gram.add(name)
        self._memory = memory
        self._on_sample = on_sample
        self.held: dict[str, InputStatistics] = {}

    def __call__(self, name: str) -> InputStatistics | None:
        """Statistics of the inputs of one tensor; None for one that nothing went into."""
        name = input_name(name)
        if name not in self._columns:
            return None
        if name not in self.held:
            self._gather(self._next(name))
        statistics = self.held[name]
        return statistics if statistics.count else None

    def _next(self, name: str) -> list[str]:
        """The tensor and as many behind it as the memory allows."""
        names = list(self._columns)
        chosen: list[str] = []
        size = 0
        for other in names[names.index(name) :]:
            size += 8 * self._columns[other] * (1 + (self._columns[other] if other in self._gram else 0))
            if chosen and size > self._memory:
                break
            chosen.append(other)
        return chosen

    def _gather(self, names: Sequence[str]) -> None:
        self.held = {name: InputStatistics(self._columns[name], gram=name in self._gram) for name in names}

        def note(name: str, rows: NDArray[np.float32]) -> None:
            statistics = self.held.get(input_name(name))
            if statistics is not None:
                statistics.add(rows, GENERATED if len(rows) == 1 else 1.0)

        self._backend.watch(note)
        try:
            ask(self._policy, self._samples, on_sample=self._on_sample)
        finally:
            self._backend.watch(None)
