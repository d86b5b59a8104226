"""Tests of benchmarks/start.py: both ways to load a policy are measured in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "start.py"


def test_memory_and_seconds_of_both_ways_are_told(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "start.json"
    command = [sys.executable, str(SCRIPT), str(tiny_bundle), "--repeat", "1", "--json", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(out.read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == report
    (policy,) = report["policies"]
    assert set(policy["loads"]) == {"copied", "mapped"}
    files = sum((tiny_bundle / name).stat().st_size for name in ("language.gguf", "vision.gguf"))
    for found in policy["loads"].values():
        assert set(found["seconds"]) == {"check", "load", "warm up", "first act", "later acts"}
        assert all(seconds > 0 for seconds in found["seconds"].values())
        assert found["memory"]["peak_bytes"] > found["memory"]["kv_bytes"]
        assert found["memory"]["code_bytes"] > 0
        assert found["memory"]["files_bytes"] >= files


def test_a_bundle_that_is_not_there_is_one_line_and_exit_code_4(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path / "none.hyt")], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)
    assert done.stderr.startswith(f"start.py: {tmp_path / 'none.hyt'}; expected a bundle directory")
