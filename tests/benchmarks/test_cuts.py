"""Tests of benchmarks/cuts.py: every speed-up is left out once, beside the whole policy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from hyt.runtime import _core

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cuts.py"


def test_every_cut_has_a_row_of_ratios_with_their_bounds(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "cuts.json"
    command = [sys.executable, str(SCRIPT), str(tiny_bundle), "--blocks", "2", "--answers", "2", "--json", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(out.read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == report
    (policy,) = report["policies"]
    assert list(policy["cuts"]) == [*_core.cuts(), "own kernels"]
    for phases in policy["cuts"].values():
        assert set(phases) == {"vision", "prefill", "action token", "act", "thought token"}
        for found in phases.values():
            ratio, low, high = found["ratio"]
            assert 0 < low <= ratio <= high
            assert found["without_ms"] > 0
            assert found["with_ms"] > 0
