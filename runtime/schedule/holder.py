"""The thought that the next actions are conditioned on, for so many decisions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Holder:
    """Holds the newest finished thought for `decisions` decisions; nothing where `decisions` is 0."""

    def __init__(self, decisions: int) -> None:
        self._decisions = decisions
        self._held: tuple[str, NDArray[np.int32]] | None = None
        self._left = 0

    def hold(self, text: str, ids: NDArray[np.int32]) -> None:
        """From the next decision on, this thought in place of the one before."""
        if self._decisions:
            self._held, self._left = (text, ids), self._decisions

    def take(self) -> tuple[str, NDArray[np.int32]] | None:
        """Text and tokens for the decision that is made now, which counts; None when nothing is held."""
        if not self._left:
            self._held = None
            return None
        self._left -= 1
        return self._held

    def drop(self) -> None:
        """Hold nothing any more."""
        self._held, self._left = None, 0
