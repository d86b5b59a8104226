"""The bench command: a table, one JSON line, and errors with their exit code."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from hyt.firmware_bridge import FirmwareProcess
from hyt.firmware_bridge.__main__ import main


def test_the_bench_ends_with_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rounds", "20"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(report["results"]) == ["lockstep: chunk + 25 ticks", "real time: ping"]
    assert all(0 < r["p50"] <= r["p99"] <= r["max"] for r in report["results"].values())


def test_the_bench_takes_a_port(start: Callable[..., FirmwareProcess], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", start().port, "--rounds", "5"]) == 0
    assert ": ping" in capsys.readouterr().out


def test_a_missing_port_ends_with_6_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "/dev/nothing"]) == 6
    assert capsys.readouterr().err.startswith("port /dev/nothing; expected a serial port; received no such device;")
