"""Statistics of features, as in LeRobot's `meta/stats.json`: exact over vectors, over a sample of each camera's images.

Vectors have arrays (D,) in the feature's units; images have arrays (3, 1, 1), one value a colour in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hyt.dataset.images import decode_image
from hyt.dataset.layout import CameraInfo
from hyt.errors import DatasetError

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
ARRAYS = ("min", "max", "mean", "std", *QUANTILES)
QUANTILE_ROWS = 1_000_000
"""Quantiles are taken over at most about so many evenly spaced rows; all else over every row."""

IMAGES_SAMPLED = 8
"""Images of each camera that are measured in an episode."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureStatistics:
    """Statistics of one feature over `count` values."""

    min: Array
    max: Array
    mean: Array
    std: Array
    q01: Array
    q10: Array
    q50: Array
    q90: Array
    q99: Array
    count: int

    def to_json(self) -> dict[str, list[Any]]:
        """As LeRobot writes it: nested lists, and the count as a list of one."""
        return {**{name: getattr(self, name).tolist() for name in ARRAYS}, "count": [self.count]}


Statistics = Mapping[str, FeatureStatistics]
"""By feature: `observation.state`, `action`, `observation.images.NAME`."""


def measure(blocks: Iterable[npt.NDArray[Any]], rows: int) -> FeatureStatistics:
    """Statistics of (N, D) values that come in blocks; `rows` is N, by which the quantiles' sample is spaced."""
    step = max(-(-rows // QUANTILE_ROWS), 1)
    count = 0
    low = high = mean = squares = np.zeros(0)
    sample: list[Array] = []
    for block in blocks:
        values = block.astype(np.float64)
        if not len(values):
            continue
        sample.append(values[-count % step :: step])
        own_mean = values.mean(axis=0)
        own_squares = ((values - own_mean) ** 2).sum(axis=0)
        if count == 0:
            low, high, mean, squares = values.min(axis=0), values.max(axis=0), own_mean, own_squares
        else:
            total = count + len(values)
            apart = own_mean - mean
            squares = squares + own_squares + apart**2 * (count * len(values) / total)
            mean = mean + apart * (len(values) / total)
            low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
        count += len(values)
    quantiles = np.quantile(np.concatenate(sample), list(QUANTILES.values()), axis=0)
    return _named(low, high, mean, np.sqrt(squares / count), *quantiles, count=count)


def measure_images(images: Sequence[bytes], camera: CameraInfo, where: str) -> FeatureStatistics:
    """Statistics of the colours of evenly spaced images of an episode; `count` is the number of images measured."""
    chosen = np.unique(np.linspace(0, len(images) - 1, min(len(images), IMAGES_SAMPLED)).astype(int))
    counts = np.zeros((3, 256), np.int64)  # a histogram holds all that is asked for
    for index in chosen:
        pixels = decode_image(images[index], camera, where)
        for colour in range(3):
            counts[colour] += np.bincount(pixels[:, :, colour].ravel(), minlength=256)
    levels = np.arange(256) / 255
    pixels_measured = counts[0].sum()
    mean = counts @ levels / pixels_measured
    deviation = np.sqrt(np.maximum(counts @ levels**2 / pixels_measured - mean**2, 0))
    below = counts.cumsum(axis=1)
    quantiles = [levels[(below < part * pixels_measured).sum(axis=1)] for part in (0, *QUANTILES.values())]
    low = levels[(counts > 0).argmax(axis=1)]
    high = levels[255 - (counts[:, ::-1] > 0).argmax(axis=1)]
    arrays = [value.reshape(3, 1, 1) for value in (low, high, mean, deviation, *quantiles[1:])]
    return _named(*arrays, count=len(chosen))


def pool(parts: Sequence[FeatureStatistics]) -> FeatureStatistics:
    """Statistics of all from those of the parts: exact but for the quantiles, which are means weighted by count."""
    counts = np.array([part.count for part in parts], np.float64)
    weights = (counts / counts.sum()).reshape(-1, *[1] * parts[0].mean.ndim)

    def weighted(values: list[Array]) -> Array:
        result: Array = (np.stack(values) * weights).sum(axis=0)
        return result

    mean = weighted([part.mean for part in parts])
    variance = weighted([part.std**2 + (part.mean - mean) ** 2 for part in parts])
    quantiles = [weighted([getattr(part, name) for part in parts]) for name in QUANTILES]
    return _named(
        np.min([part.min for part in parts], axis=0),
        np.max([part.max for part in parts], axis=0),
        mean,
        np.sqrt(variance),
        *quantiles,
        count=int(counts.sum()),
    )


def from_json(values: Any, where: str) -> FeatureStatistics | None:
    """Statistics of one feature from JSON, or None when a quantile is missing, as in older datasets."""
    if not isinstance(values, dict):
        raise DatasetError(where, expected="an object of statistics", received=type(values).__name__)
    if any(name not in values for name in (*ARRAYS, "count")):
        return None
    try:
        arrays = [np.atleast_1d(np.array(values[name], np.float64)) for name in ARRAYS]
        count = int(np.array(values["count"]).ravel()[0])
    except (ValueError, TypeError, IndexError) as problem:
        raise DatasetError(where, expected="numbers", received=str(problem)) from None
    if len({array.shape for array in arrays}) != 1 or not all(np.isfinite(array).all() for array in arrays):
        raise DatasetError(where, expected="finite numbers of one shape", received="others")
    return _named(*arrays, count=count)


def _named(*arrays: Array, count: int) -> FeatureStatistics:
    """Statistics from arrays in the order of the fields."""
    return FeatureStatistics(**dict(zip(ARRAYS, arrays, strict=True)), count=count)
