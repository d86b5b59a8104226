"""How long a kind of work takes, by its latest measurements: what does not fit is not started."""

from __future__ import annotations

from collections import deque

LONGEST_TAIL = 3.0
"""Times the median: what takes longer is bad luck, and reserving time for it at every turn would cost more than it."""


class Estimate:
    """Durations of one kind of work: the `quantile` of the last `window` of them, and their median.

    A single slow one moves neither; a machine that has become slower does, within a few measurements, and is forgotten
    again `window` measurements after it has recovered.
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
        """Seconds that such work rarely exceeds, at most LONGEST_TAIL medians; 0 before the first measurement."""
        return min(self._ranked(self._quantile), LONGEST_TAIL * self.median)

    @property
    def median(self) -> float:
        """Seconds that half of such work exceeds; 0 before the first measurement."""
        return self._ranked(0.5)

    def _ranked(self, share: float) -> float:
        if not self._seconds:
            return 0.0
        ranked = sorted(self._seconds)
        return ranked[min(int(share * len(ranked)), len(ranked) - 1)]
