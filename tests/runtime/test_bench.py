"""Tests of hyt-run bench: its table, its line of JSON, its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from prismatic import write_openvla

from hyt.export.exporter import export_bundle
from hyt.export.statement import Statement
from hyt.runtime.cli import main
from hyt.runtime.machine import STREAM_BYTES, measure_ceiling

PHASES = {"vision", "prefill", "action token", "thought token", "act", "think", "follow"}


def test_a_bench_prints_a_table_and_one_line_of_json_and_writes_the_same(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    assert main(["bench", str(tiny_bundle), "--repeat", "3", "--threads", "1", "--json", str(path)]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    report = json.loads(line)
    assert report == json.loads(path.read_text())
    assert any("thought token" in row for row in table)
    assert set(report["latency_ms"]) == PHASES
    assert all(summary["count"] == 3 for summary in report["latency_ms"].values())
    assert all(0 < s["p50_ms"] <= s["p99_ms"] <= s["max_ms"] for s in report["latency_ms"].values())
    assert set(report["share"]) == {"vision", "prefill", "action token", "thought token"}
    assert report["cost"]["weight_bytes"] < report["peak_rss_bytes"]
    assert report["ceiling"]["threads"] == 1
    assert report["backend"]["device"] == "CPU"
    assert "on CPU" in " ".join(table)


def test_a_profile_names_operators_by_phase(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tiny_bundle), "--profile", "--repeat", "2", "--threads", "1"]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    phases = json.loads(line)["seconds_an_answer"]
    assert set(phases) == {"vision", "prefill", "action token", "thought token"}
    assert all(seconds > 0 for operators in phases.values() for seconds in operators.values())
    assert "attention" in phases["prefill"]
    assert any("prefill" in row for row in table)


def test_a_bench_leaves_out_what_it_is_told(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", str(tiny_bundle), "--repeat", "1", "--threads", "1"]
    assert main([*arguments, "--without", "strips,last_layer", "--activations", "float32"]) == 0
    backend = json.loads(capsys.readouterr().out.splitlines()[-1])["backend"]
    assert backend["without"] == ["strips", "last_layer"]
    assert backend["backend"].endswith("float32 activations")
    assert main([*arguments, "--profile", "--without", "own_attention"]) == 0
    phases = json.loads(capsys.readouterr().out.splitlines()[-1])["seconds_an_answer"]
    assert "attention" not in phases["prefill"]
    assert main([*arguments, "--without", "speed"]) == 5
    assert "expected speed-ups of strips, fused, own_attention" in capsys.readouterr().err


def test_a_policy_that_only_acts_is_measured_in_acting_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_openvla(tmp_path / "c")
    export_bundle(tmp_path / "c", tmp_path / "x.hyt", statement=Statement(step_time=0.2, units=("m", "rad")), threads=1)
    arguments = ["bench", str(tmp_path / "x.hyt"), "--repeat", "2", "--threads", "1", "--instruction", "open drawer"]
    assert main([*arguments, "--kv", "f16", "--mapped"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(report["latency_ms"]) == {"vision", "prefill", "action token", "act"}
    assert set(report["share"]) == {"vision", "prefill", "action token"}


def test_a_continuous_policy_is_measured_by_the_chunk(
    continuous_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(continuous_bundle), "--repeat", "2", "--threads", "1"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(report["latency_ms"]) == PHASES - {"action token"} | {"action chunk"}
    assert set(report["share"]) == {"vision", "prefill", "action chunk", "thought token"}


def test_no_answers_are_refused(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tiny_bundle), "--repeat", "0"]) == 5
    assert capsys.readouterr().err == "hyt-run: --repeat; expected at least 1; received 0\n"


def test_the_ceiling_is_that_of_plausible_hardware() -> None:
    ceiling = measure_ceiling(1)
    assert STREAM_BYTES >= 256 * 2**20
    assert 1e8 < ceiling.bytes_per_second < 1e12
    assert 1e8 < ceiling.flops_per_second < 1e13
    assert np.isfinite(ceiling.flops_per_second)
