"""Statistics agree with NumPy's over all values at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_episodes import LAYOUT, episode, length_of, write

from hyt.dataset import DatasetWriter, open_dataset
from hyt.dataset import statistics as statistics_module
from hyt.dataset.statistics import measure, pool

NAMES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def test_state_and_action_are_measured_exactly(tmp_path: Path) -> None:
    write(tmp_path, range(5))
    measured = open_dataset(tmp_path).statistics
    episodes = [episode(n, length_of(n))[0] for n in range(5)]
    for feature, parts in {
        "observation.state": [e.states for e in episodes],
        "action": [e.actions for e in episodes],
    }.items():
        values = np.concatenate(parts).astype(np.float64)
        result = measured[feature]
        assert result.count == len(values)
        for name in ("min", "max", "mean", "std"):
            np.testing.assert_allclose(getattr(result, name), getattr(values, name)(axis=0), rtol=1e-9, atol=1e-12)
        for name, part in NAMES.items():
            np.testing.assert_allclose(getattr(result, name), np.quantile(values, part, axis=0), rtol=1e-9)


def test_images_are_measured_by_colour(tmp_path: Path) -> None:
    """Episodes of at most eight decisions are sampled whole."""
    writer = DatasetWriter(tmp_path, LAYOUT)
    all_pictures = []
    for number, length in enumerate((3, 8)):
        made, pictures = episode(number, length)
        writer.stage(f"{number}", made)
        all_pictures.append(pictures["front"])
    writer.pack()
    result = open_dataset(tmp_path).statistics["observation.images.front"]
    values = np.concatenate(all_pictures).reshape(-1, 3) / 255
    assert result.count == 11
    assert result.mean.shape == (3, 1, 1)
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(getattr(result, name).ravel(), getattr(values, name)(axis=0), rtol=1e-9)
    for name, part in NAMES.items():
        np.testing.assert_allclose(getattr(result, name).ravel(), np.quantile(values, part, axis=0), atol=1.5 / 255)


def test_quantiles_of_many_rows_come_from_evenly_spaced_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_module, "QUANTILE_ROWS", 100)
    values = np.arange(1000.0)[:, None]
    result = measure(np.split(values, [7, 130, 131, 700]), 1000)
    np.testing.assert_allclose(result.q50, np.quantile(np.arange(0, 1000, 10.0), 0.5))
    np.testing.assert_allclose(result.std, values.std())


def test_pooling_parts_is_measuring_the_whole() -> None:
    random = np.random.default_rng(0)
    parts = [random.normal(loc, 1 + loc, (20 + loc, 3)) for loc in range(4)]
    pooled = pool([measure([part], len(part)) for part in parts])
    whole = measure([np.concatenate(parts)], sum(map(len, parts)))
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(getattr(pooled, name), getattr(whole, name), rtol=1e-9)
    assert pooled.count == whole.count
