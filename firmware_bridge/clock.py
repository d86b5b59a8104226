"""The firmware's tick as seen from the host: a line through (host time, tick) pairs of round trips.

A round trip says that the firmware's tick was reached at some moment between sending and receiving; the middle is
taken, and of the last samples the half with the shortest round trips is fitted by least squares, twice: the second time
without those that lie far from the line. The slope is the firmware's true tick rate, so clocks that drift apart are
followed.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

SAMPLES = 64
# Below this span the nominal rate is better known than the fitted one.
SHORTEST_FIT = 1.0  # seconds
# A crystal is off by 0.01%, an RC oscillator by 1%: a slope beyond is a disturbed fit.
LARGEST_DRIFT = 0.02
# Medians of the distance from the line, beyond which a sample is left out: a firmware that was held up answers at once
# when it goes on, with the tick at which it stood.
OUTLIER = 3.0


class Clock:
    """Maps host time (time.monotonic seconds) to firmware ticks; ticks wrap at 2^32. Thread-safe."""

    def __init__(self, tick_hz: float, *, lockstep: bool = False) -> None:
        self._nominal = float(tick_hz)
        self._lockstep = lockstep
        self._lock = threading.Lock()
        self._samples: deque[tuple[float, float, int]] = deque(maxlen=SAMPLES)  # middle, round trip, unwrapped tick
        self._fit: tuple[float, float, float] = (0.0, 0.0, self._nominal)  # time, tick at that time, rate

    def add(self, sent: float, received: float, tick: int) -> None:
        """A round trip in host time and the tick that the firmware put into its answer."""
        with self._lock:
            last = self._samples[-1][2] if self._samples else tick
            unwrapped = last + (((tick - last) + 2**31) % 2**32 - 2**31)
            self._samples.append(((sent + received) / 2, received - sent, unwrapped))
            self._fit = self._fitted()

    def _fitted(self) -> tuple[float, float, float]:
        ranked = sorted(self._samples, key=lambda sample: sample[1])
        best = ranked[: (len(ranked) + 1) // 2]
        times = np.array([sample[0] for sample in best])
        ticks = np.array([float(sample[2]) for sample in best])
        time, tick, rate = self._line(times, ticks)
        off = np.abs(ticks - tick - (times - time) * rate)
        near = off <= OUTLIER * np.median(off) + 1
        return (time, tick, rate) if near.all() else self._line(times[near], ticks[near])

    def _line(self, times: NDArray[np.float64], ticks: NDArray[np.float64]) -> tuple[float, float, float]:
        """Least squares through pairs (n,): mean time, mean tick, ticks a second."""
        time_mean, tick_mean = float(times.mean()), float(ticks.mean())
        rate = self._nominal
        if np.ptp(times) >= SHORTEST_FIT:
            centred = times - time_mean
            fitted = float((centred @ (ticks - tick_mean)) / (centred @ centred))
            if abs(fitted / self._nominal - 1) <= LARGEST_DRIFT:
                rate = fitted
        return time_mean, tick_mean, rate

    @property
    def rate(self) -> float:
        """Ticks per second of host time, fitted once the samples span a second, nominal before."""
        with self._lock:
            return self._fit[2]

    @property
    def drift(self) -> float:
        """How much faster than its nominal rate the firmware's clock runs, by the host's: 0.0005 is 500 ppm."""
        return self.rate / self._nominal - 1

    @property
    def offset(self) -> float:
        """Host time of the firmware's tick 0, in seconds (ticks not wrapped); NaN without a sample or in lockstep."""
        with self._lock:
            origin, tick, rate = self._fit
            return origin - tick / rate if self._samples and not self._lockstep else float("nan")

    def tick_at(self, when: float) -> int:
        """The tick at host time `when`, modulo 2^32; in lockstep the last tick heard of."""
        with self._lock:
            if not self._samples:
                raise ValueError("the clock has no sample yet")
            if self._lockstep:
                return self._samples[-1][2] % 2**32
            origin, tick, rate = self._fit
        return round(tick + (when - origin) * rate) % 2**32

    def now(self) -> int:
        """The tick now, modulo 2^32; in lockstep the last tick heard of."""
        return self.tick_at(time.monotonic())

    def time_of(self, tick: float) -> float:
        """Host time at which this tick is reached, taken as the one nearest to the last that was heard of."""
        with self._lock:
            if not self._samples:
                raise ValueError("the clock has no sample yet")
            last = self._samples[-1][2]
            origin, reference, rate = self._fit
        unwrapped = last + ((tick - last + 2**31) % 2**32 - 2**31)
        return origin + (unwrapped - reference) / rate

    def uncertainty(self) -> float:
        """Half of the shortest round trip in seconds: the tick may be off by so much whatever the fit says."""
        with self._lock:
            return min((sample[1] for sample in self._samples), default=float("inf")) / 2
