"""From action tokens to numbers in the robot's units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hyt.errors import HytError
from hyt.runtime.contract import Action, ActionDimension


@dataclass(frozen=True)
class Timings:
    """Where the time of one answer went, in seconds.

    vision:  images to image tokens, whichever answer on this observation needed them first
    prefill: the prefix, likewise
    thought: thought tokens; 0 without a thought
    decode:  action tokens; 0 without an action
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
    tokens:        int32 (steps * dims,), vocabulary ids, row-major over (step, dim)
    probabilities: float32 (steps * dims,), of each chosen token among all action tokens
    dimensions:    name, unit, limits and semantics of each column
    """

    values: NDArray[np.float32]
    step_time: float
    tokens: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    dimensions: tuple[ActionDimension, ...]
    timings: Timings = field(default_factory=Timings)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each column."""
        return tuple(dimension.unit for dimension in self.dimensions)

    @property
    def confidence(self) -> float:
        """Smallest probability of the chunk: the least certain token."""
        return float(self.probabilities.min())


class ActionTable:
    """The value of every action token in every dimension, made once: float32 (bins, dims)."""

    def __init__(self, action: Action) -> None:
        self._action = action
        self._row = {id: row for row, id in enumerate(action.token_ids)}
        centers = np.asarray(action.bin_centers, dtype=np.float64)[:, None]
        low = np.asarray([d.low for d in action.dimensions], dtype=np.float64)
        high = np.asarray([d.high for d in action.dimensions], dtype=np.float64)
        self._values = (low + (centers + 1) / 2 * (high - low)).astype(np.float32)

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
        """The chunk that these tokens stand for."""
        action = self._action
        return ActionChunk(self.values(tokens), action.step_time, tokens, probabilities, action.dimensions, timings)
