"""Tests of benchmarks/peers.py: engines on the same weights say the same tokens, and the report counts what was run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers.py"
THOUGHT = 6


def test_everybody_answers_the_same_prefixes_and_llama_cpp_says_the_tokens_that_we_say(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "peers.json"
    command = [sys.executable, str(SCRIPT), str(tiny_bundle), "--threads", "1", "--repeat", "2"]
    subprocess.run([*command, "--thought", str(THOUGHT), "--json", str(out)], check=True, capture_output=True)
    (case,) = json.loads(out.read_text())["cases"]
    assert set(case["milliseconds"]) == {"ours", "llama.cpp", "PyTorch float32"}
    assert case["answers_that_differ_from_llama.cpp"]["act"] == 0
    assert case["think_then_act_over_act"] > 1
    for tasks in case["milliseconds"].values():
        for phases in tasks.values():
            assert all(summary["count"] == 2 and summary["p50_ms"] > 0 for summary in phases.values())
    for tasks in case["ratios"].values():
        middle, low, high = tasks["act"]["total"]
        assert 0 < low <= middle <= high
