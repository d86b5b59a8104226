"""What a policy needs of an engine: observe, act, think and follow on token ids; no text, no units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Seconds:
    """Time by phase: vision and prefill of the observation and its prefix, whichever call computed them, decode of the
    tokens of this call."""

    vision: float
    prefill: float
    decode: float


@dataclass(frozen=True)
class Decoded:
    """Action tokens int32 (K,) and their probabilities among the action tokens, float32 (K,).

    think_probability: what the gate says of the prefix, in (0, 1); of `act` alone, None without a gate
    """

    tokens: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    seconds: Seconds
    think_probability: float | None = None


@dataclass(frozen=True)
class Regressed:
    """A continuous action, normalised as the contract says: float32 (K,), row-major, not clipped yet."""

    values: NDArray[np.float32]
    seconds: Seconds
    think_probability: float | None = None


Answer = Decoded | Regressed
"""What a policy with action tokens decides, or a continuous one."""


@dataclass(frozen=True)
class Written:
    """A thought as far as it has been written: int32 (n,), all of it without its end token, and whether it ended."""

    tokens: NDArray[np.int32]
    finished: bool
    seconds: Seconds


class Scoring(Protocol):
    """An engine that tells what it thought of each token, so that two can be compared."""

    def logits(self, layout: NDArray[np.int32], tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Logits, float32 (tokens, vocabulary), at each of `tokens` fed behind a prefix on the observed images."""


class Backend(Protocol):
    """An engine with one policy loaded, called from one thread; every method raises HytError and its children."""

    def observe(self, images: Sequence[NDArray[np.uint8]], layout: NDArray[np.int32]) -> None:
        """Take images, uint8 (height, width, 3) in prompt order, and the prefix, int32, -1 - i standing for image i."""

    def act(self, tag: int) -> Answer:
        """Decode an action behind the prefix and this modality tag."""

    def act_state(self) -> NDArray[np.float32]:
        """What a gate judges of the latest `act`: the decoder's output at its tag, float32 (hidden,)."""

    def think_begin(self, tag: int) -> None:
        """Open a thought on the current prefix; it keeps that prefix whatever `observe` does next."""

    def think(self, until: float | None, max_steps: int | None) -> Written:
        """Write on at the open thought until it ends, `time.monotonic()` passes `until` or `max_steps` are done."""

    def act_after_thought(self) -> Answer:
        """Decode an action behind the finished thought."""

    def act_with_thought(self, tag: int, thought: NDArray[np.int32]) -> Answer:
        """Decode an action behind the prefix, the tag `think` and a given thought, int32 (n,) without its end token."""

    def follow(self, layout: NDArray[np.int32], tag: int) -> Answer:
        """Decode an action behind another prefix on the images that were observed last."""

    def info(self) -> Mapping[str, Any]:
        """Facts of the engine: name, threads, bytes of weights and cache."""

    def close(self) -> None:
        """Give back what the engine holds; the backend is not used afterwards."""
