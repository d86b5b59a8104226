"""Small statistics for reports: intervals of rates, of their differences, of latencies' ratios; summaries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054  # two-sided 95% quantile of the normal distribution


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson score interval of a success rate, as (low, high) in [0, 1]; (0, 1) without trials.

    Source: E. B. Wilson, JASA 22 (1927), 209-212. Raises ValueError unless 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"expected 0 <= successes <= trials, received {successes} of {trials}")
    return (0.0, 1.0) if trials == 0 else _wilson(successes / trials, trials, z)


def clustered_interval(rates: Sequence[float]) -> tuple[float, float]:
    """95% interval of the mean of rates in [0, 1], one for each cluster of trials that may go together, as (low, high).

    Wilson's, with as many trials as independent ones would be for the variance that the clusters show; clusters of
    equal rates count as one trial each. Raises ValueError without clusters.
    """
    if not len(rates):
        raise ValueError("expected at least one cluster, received none")
    mean = float(np.mean(rates))
    if min(rates) == max(rates):
        return _wilson(mean, len(rates), Z_95)
    return _wilson(mean, mean * (1 - mean) * len(rates) / float(np.var(rates, ddof=1)), Z_95)


def _wilson(rate: float, trials: float, z: float) -> tuple[float, float]:
    scale = 1 + z * z / trials
    center = (rate + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    # Rounding may leave the ends a few ulp off; they are exact where all trials agree.
    return (0.0 if rate == 0 else max(center - half, 0.0), 1.0 if rate == 1 else min(center + half, 1.0))


def paired_difference(both: int, first: int, second: int, neither: int) -> tuple[float, float, float]:
    """Difference of two paired success rates and its 95% interval, as (difference, low, high) in [-1, 1].

    both, first, second, neither: episodes solved by both, only by the first, only by the second, by none of the two.
    Source: R. G. Newcombe, Statistics in Medicine 17 (1998), 2635-2650, method 10. Raises ValueError without episodes.
    """
    n = both + first + second + neither
    if n == 0:
        raise ValueError("expected at least one pair of episodes, received none")
    p1, p2 = (both + first) / n, (both + second) / n
    low1, high1 = wilson_interval(both + first, n)
    low2, high2 = wilson_interval(both + second, n)
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    phi = 0.0
    if product:
        agreement = both * neither - first * second
        # The correction for continuity keeps a positive correlation from being overstated.
        phi = (max(agreement - n / 2, 0.0) if agreement > 0 else agreement) / math.sqrt(product)
    d1, d2 = p1 - low1, high2 - p2
    e1, e2 = high1 - p1, p2 - low2
    delta = math.sqrt(max(d1 * d1 - 2 * phi * d1 * d2 + d2 * d2, 0.0))
    epsilon = math.sqrt(max(e1 * e1 - 2 * phi * e1 * e2 + e2 * e2, 0.0))
    return p1 - p2, p1 - p2 - delta, p1 - p2 + epsilon


def ratio_bounds(
    first: Sequence[Sequence[float]],
    second: Sequence[Sequence[float]],
    percentile: float,
    *,
    paired: bool = False,
    repeats: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Ratio of a percentile of two sets of positive values, and its one-sided 95% bounds, as (ratio, low, high).

    first, second: the values in blocks. The bounds come from the bootstrap over whole blocks, because neighbours are
    alike (a slow moment of a machine lasts). paired: the blocks of one index were measured one right after the other,
    and are drawn together. Raises ValueError when one of them has no values, or paired ones are not as many.
    """
    if paired and (len(first) != len(second) or not all(map(len, [*first, *second]))):
        raise ValueError(f"expected pairs of blocks with values, received {len(first)} and {len(second)} blocks")
    sides = [[np.asarray(block, np.float64) for block in side if len(block)] for side in (first, second)]
    if not all(sides):
        raise ValueError("expected values on both sides, received none")
    random = np.random.default_rng(seed)

    def level(blocks: list[NDArray[np.float64]]) -> float:
        return float(np.percentile(np.concatenate(blocks), percentile))

    ratios = np.empty(repeats)
    for index in range(repeats):
        draws = [random.integers(0, len(side), len(side)) for side in (sides[:1] if paired else sides)]
        levels = [level([side[i] for i in draw]) for side, draw in zip(sides, draws * (1 + paired), strict=True)]
        ratios[index] = levels[0] / levels[1]
    low, high = np.percentile(ratios, [5, 95])
    return level(sides[0]) / level(sides[1]), float(low), float(high)


@dataclass(frozen=True)
class Summary:
    """Latencies of one phase, in milliseconds."""

    count: int
    mean_ms: float
    p50_ms: float
    p99_ms: float
    max_ms: float

    def as_dict(self) -> dict[str, float | int]:
        """The fields as JSON values, rounded to a microsecond."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def summarise(seconds: Sequence[float]) -> Summary:
    """Summary of latencies in seconds; percentiles interpolate linearly. Raises ValueError when there are none."""
    if not seconds:
        raise ValueError("expected at least one latency, received none")
    values = np.asarray(seconds, dtype=np.float64) * 1e3
    p50, p99 = np.percentile(values, [50, 99])
    return Summary(len(seconds), float(values.mean()), float(p50), float(p99), float(values.max()))
