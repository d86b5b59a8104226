"""The paired comparison: its interval covers what it should, and it refuses to compare different episodes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "paired.py"
sys.path.insert(0, str(SCRIPT.parent))

from paired import paired_difference  # noqa: E402


@pytest.mark.parametrize("cells", [(0.85, 0.05, 0.04, 0.06), (0.5, 0.2, 0.1, 0.2), (0.97, 0.01, 0.01, 0.01)])
def test_the_interval_covers_the_true_difference_in_95_of_100_experiments(cells: tuple[float, ...]) -> None:
    random = np.random.default_rng(4)
    truth = cells[1] - cells[2]
    covered = []
    for counts in random.multinomial(300, cells, size=2000):
        _, low, high = paired_difference(*(int(c) for c in counts))
        covered.append(low <= truth <= high)
    assert 0.93 <= np.mean(covered) <= 0.995


def test_swapping_the_two_mirrors_the_interval() -> None:
    difference, low, high = paired_difference(200, 30, 12, 58)
    swapped = paired_difference(200, 12, 30, 58)
    np.testing.assert_allclose(swapped, (-difference, -high, -low), atol=1e-12)
    assert difference == pytest.approx(18 / 300)


def test_equal_outcomes_leave_no_difference() -> None:
    difference, low, high = paired_difference(300, 0, 0, 0)
    assert difference == 0.0
    assert -0.02 < low <= 0.0 <= high < 0.02


def result(seeds: range, success: bool) -> dict[str, Any]:
    return {"robots": [{"robot": "sim:x", "episodes": [{"seed": s, "success": success} for s in seeds]}]}


def run(tmp_path: Path, first: dict[str, Any], second: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    paths = [tmp_path / "first.json", tmp_path / "second.json"]
    for path, value in zip(paths, (first, second), strict=True):
        path.write_text(json.dumps(value), encoding="utf-8")
    command = [sys.executable, str(SCRIPT), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_prints_counts_and_the_loss(tmp_path: Path) -> None:
    done = run(tmp_path, result(range(10), True), result(range(10), False))
    assert done.returncode == 0
    assert "episodes 10: both 0, only baseline 10, only candidate 0, neither 0" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["loss"] == 100.0


def test_other_seeds_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path, result(range(10), True), result(range(1, 11), True))
    assert done.returncode == 3
    assert done.stderr == "paired: expected the same robots and seeds in both files\n"
