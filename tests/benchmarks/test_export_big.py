"""Tests of benchmarks/export_big.py on a checkpoint that is not big."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from checkpoints import DEFAULT, write_checkpoint

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "export_big.py"


def test_it_exports_acts_tells_and_cleans_up(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "paligemma2-3b", DEFAULT)
    command = [sys.executable, str(SCRIPT), "paligemma2-3b", "--work", str(tmp_path), "--threads", "1", "--repeat", "1"]
    command += ["--calibration", "2"]
    done = subprocess.run([*command, "--json", str(tmp_path / "r.json")], capture_output=True, text=True, check=True)
    report = json.loads((tmp_path / "r.json").read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == report
    assert [one["weights"] for one in report["acts"]] == ["copied", "mapped"]
    assert all(len(one["action"]) == DEFAULT.steps for one in report["acts"])
    assert 1e6 < report["export_peak_anonymous_bytes"] < 1e9
    assert report["within_limit"]
    assert report["export"][-2:] == ["--calibration-observations", "2"]
    assert sum(report["parts"].values()) < report["bundle_bytes"]
    assert "GiB beyond page cache" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
