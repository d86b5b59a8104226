"""From action tokens, or a continuous policy's normalised numbers, to numbers in the robot's units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hyt.errors import HytError, PolicyError
from hyt.runtime.contract import Action, ActionDimension


@dataclass(frozen=True)
class Timings:
    """Where the time of one answer went, in seconds.

    vision:  images to image tokens, whichever answer on this observation needed them first
    prefill: the prefix, likewise
    thought: thought tokens; 0 without a thought
    decode:  action tokens or the continuous chunk; 0 without an action
    total:   this call from beginning to end, checks and text included
    """

    vision: float = 0.0
    prefill: float = 0.0
    thought: float = 0.0
    decode: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class ActionChunk:
    """What the robot is to do for the next `steps * step_time` seconds.

    values:        float32 (steps, dims), in the unit of each dimension
    step_time:     seconds that each step lasts
    tokens:        int32 (steps * dims,), vocabulary ids, row-major over (step, dim); None of a continuous policy
    probabilities: float32 (steps * dims,), of each chosen token among all action tokens; None likewise
    dimensions:    name, unit, limits and semantics of each column
    think_probability: the gate's probability that thinking would better the action, in (0, 1); None without a gate
    """

    values: NDArray[np.float32]
    step_time: float
    tokens: NDArray[np.int32] | None
    probabilities: NDArray[np.float32] | None
    dimensions: tuple[ActionDimension, ...]
    timings: Timings = field(default_factory=Timings)
    think_probability: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each column."""
        return tuple(dimension.unit for dimension in self.dimensions)

    @property
    def confidence(self) -> float | None:
        """Smallest probability of the chunk: the least certain token; None of a continuous policy."""
        return None if self.probabilities is None else float(self.probabilities.min())


class ActionTable:
    """What a policy's tokens or normalised numbers mean to the robot, dimension by dimension."""

    def __init__(self, action: Action) -> None:
        self._action = action
        self._row = {id: row for row, id in enumerate(action.token_ids)}
        centers = np.asarray(action.bin_centers, dtype=np.float64)[:, None]
        self._low = np.asarray([d.low for d in action.dimensions], dtype=np.float64)
        self._high = np.asarray([d.high for d in action.dimensions], dtype=np.float64)
        self._values = self._in_units(centers)  # (bins, dims), made once

    def values(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32 (steps, dims) in the robot's units; raises HytError for a token that is no action."""
        action = self._action
        if tokens.shape != (action.tokens,):
            raise HytError("action tokens", expected=f"{action.tokens}", received=f"shape {tokens.shape}")
        try:
            rows = np.asarray([self._row[int(token)] for token in tokens])
        except KeyError as unknown:
            raise HytError(
                "action tokens", expected=f"one of {len(self._row)} action token ids", received=str(unknown.args[0])
            ) from None
        dims = len(action.dimensions)
        values: NDArray[np.float32] = self._values[rows.reshape(action.steps, dims), np.arange(dims)]
        return values

    def chunk(self, tokens: NDArray[np.int32], probabilities: NDArray[np.float32], timings: Timings) -> ActionChunk:
        """The chunk that these tokens stand for; raises PolicyError for tokens that were chosen among NaN."""
        action = self._action
        _require_finite("action probabilities", probabilities)
        return ActionChunk(self.values(tokens), action.step_time, tokens, probabilities, action.dimensions, timings)

    def continuous_chunk(self, numbers: NDArray[np.float32], timings: Timings) -> ActionChunk:
        """The chunk of normalised numbers (K,), clipped to [-1, 1]; raises PolicyError unless all are finite."""
        action = self._action
        if numbers.shape != (action.size,):
            raise HytError("action values", expected=f"{action.size}", received=f"shape {numbers.shape}")
        _require_finite("action values", numbers)
        rows = np.clip(numbers.reshape(action.steps, -1), -1, 1).astype(np.float64)
        return ActionChunk(self._in_units(rows), action.step_time, None, None, action.dimensions, timings)

    def _in_units(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Normalised (n, 1 or dims) to float32 (n, dims) in the robot's units."""
        units: NDArray[np.float32] = (self._low + (numbers + 1) / 2 * (self._high - self._low)).astype(np.float32)
        return units


def _require_finite(subject: str, numbers: NDArray[np.float32]) -> None:
    if not np.isfinite(numbers).all():
        remedy = "do not run this policy; export it again from a sound checkpoint"
        raise PolicyError(subject, expected="finite numbers", received="NaN or infinity", remedy=remedy)
