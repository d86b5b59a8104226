"""Tests of benchmarks/peers.py: engines on the same weights say the same tokens, and the report counts what was run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkpoints import Checkpoint
from contestants.case import case_of
from peers import entrants

from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import open_bundle

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers.py"
THOUGHT = 6
PARTS = {"prefill", "decode", "total"}
WITH_VISION = {"vision", *PARTS}


@pytest.fixture(scope="module")
def report(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of one run on a bundle with ONNX graphs, and what it printed."""
    folder = tmp_path_factory.mktemp("peers")
    export_bundle(tiny_checkpoint.path, folder / "tiny.hyt", quantization="q8_0", onnx="fused", threads=1)
    return run(folder / "tiny.hyt", folder)


def run(bundle: Path, folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), str(bundle), "--threads", "1", "--repeat", "2", "--thought", str(THOUGHT)]
    command += ["--json", str(folder / "peers.json"), "--trials", str(folder / "trials.json")]
    done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    (case,) = json.loads((folder / "peers.json").read_text())["cases"]
    return {**case, "printed": done.stdout}


def test_engines_with_our_weights_say_our_tokens(report: dict[str, Any]) -> None:
    differ = report["answers_that_differ"]
    assert set(differ) == {"llama.cpp", "onnxruntime"}
    assert differ["llama.cpp"]["act"] == differ["onnxruntime"]["act"] == differ["onnxruntime"]["whole"] == 0


def test_everybody_is_timed_in_what_it_can_do(report: dict[str, Any]) -> None:
    phases = {engine: {task: set(of) for task, of in tasks.items()} for engine, tasks in report["milliseconds"].items()}
    everything = {"act": PARTS, "think": PARTS, "whole": WITH_VISION}
    assert phases == {
        "ours": everything,
        "llama.cpp": {"act": PARTS, "think": PARTS},
        "onnxruntime": everything,
        "PyTorch float32": everything,
    }
    for tasks in report["milliseconds"].values():
        for of in tasks.values():
            assert all(summary["count"] == 2 and summary["p50_ms"] > 0 for summary in of.values())


def test_ratios_lie_in_their_intervals(report: dict[str, Any]) -> None:
    for tasks in report["ratios"].values():
        for of in tasks.values():
            for middle, low, high in of.values():
                assert 0 < low <= middle <= high


def test_each_phase_of_ours_has_a_share_of_what_the_machine_can_do(report: dict[str, Any]) -> None:
    shares = report["shares"]
    assert {task: set(of) for task, of in shares.items()} == {"act": PARTS, "think": PARTS, "whole": WITH_VISION}
    # The limits are measured at another moment than the phases, perhaps beside other work.
    assert all(0 < share < 2 for of in shares.values() for share in of.values())
    assert report["think_then_act_over_act"] > 1
    assert set(report["thought_tokens_per_second"]) == set(report["milliseconds"])


def test_it_lists_the_settings_that_were_tried(report: dict[str, Any]) -> None:
    tried = [name.split(": ")[1] for name in report["tried_seconds"]]
    assert sum(name.startswith("llama.cpp") for name in tried) == 8
    assert sum(name.startswith("onnxruntime") for name in tried) == 2
    for engine, chosen in report["settings"].items():
        assert chosen["threads"] == 1
        assert engine == "ours" or f"{engine} ({', '.join(f'{k} {v}' for k, v in chosen.items())})" in tried


def test_a_thought_longer_than_the_graphs_hold_is_not_asked_of_onnxruntime(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    export_bundle(tiny_checkpoint.path, tmp_path / "tiny.hyt", quantization="q8_0", onnx="fused", threads=1)
    graphs = open_bundle(tmp_path / "tiny.hyt").manifest.onnx
    assert graphs is not None
    said: list[str] = []
    longest = graphs.cells - case_of(tmp_path / "tiny.hyt", 0).prefix
    for thought, tasks in ((longest, ("act", "think", "whole")), (longest + 1, ("act", "whole"))):
        (found,) = entrants(case_of(tmp_path / "tiny.hyt", thought), ["onnxruntime"], said.append)
        assert found.tasks == tasks
    assert said == [
        f"  the ONNX graphs hold {graphs.cells} positions: no thought of {longest + 1} tokens by onnxruntime"
    ]


def test_a_bundle_without_graphs_leaves_onnxruntime_out_and_says_so(tiny_bundle: Path, tmp_path: Path) -> None:
    report = run(tiny_bundle, tmp_path, "--against", "llama.cpp,onnxruntime")
    assert set(report["milliseconds"]) == {"ours", "llama.cpp"}
    assert "so no onnxruntime (hyt-export --onnx writes them)" in report["printed"]
