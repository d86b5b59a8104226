"""How long a kind of work takes at most, by its latest measurements: what does not fit is not started."""

from __future__ import annotations

from collections import deque


class Estimate:
    """A robust upper end of durations: the `quantile` of the last `window` of them.

    A single slow one does not move it; a machine that has become slower does, within a few measurements, and is
    forgotten again `window` measurements after it has recovered.
    """

    def __init__(self, *, quantile: float = 0.97, window: int = 100) -> None:
        self._quantile = quantile
        self._seconds: deque[float] = deque(maxlen=window)

    def add(self, seconds: float) -> None:
        """One measured duration in seconds."""
        self._seconds.append(seconds)

    def __len__(self) -> int:
        return len(self._seconds)

    @property
    def upper(self) -> float:
        """Seconds that such work rarely exceeds; 0 before the first measurement."""
        if not self._seconds:
            return 0.0
        ranked = sorted(self._seconds)
        return ranked[min(int(self._quantile * len(ranked)), len(ranked) - 1)]
