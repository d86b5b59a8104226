"""The link's command line: what monitor, ping, stop and bench print, and their exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from hyt.firmware_bridge import FirmwareProcess, Link, State, Trip
from hyt.firmware_bridge.__main__ import main

Start = Callable[..., FirmwareProcess]
Captured = pytest.CaptureFixture[str]


def test_the_bench_ends_with_one_json_line(capsys: Captured) -> None:
    assert main(["bench", "--rounds", "20"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(report["results"]) == ["lockstep: chunk + 25 ticks", "real time: ping"]
    assert all(0 < r["p50"] <= r["p99"] <= r["max"] for r in report["results"].values())
    assert report["chunk_bytes_per_second"] > 10000


def test_the_bench_of_a_port_arms_nothing(start: Start, capsys: Captured) -> None:
    with start() as firmware:
        assert main(["bench", firmware.port, "--rounds", "5"]) == 0
        assert ": ping" in capsys.readouterr().out
        with Link(firmware.port) as link:
            telemetry = link.telemetry()
        assert (telemetry.state, telemetry.counters["chunks_accepted"]) == (State.DISARMED, 0)


def test_ping_prints_each_round_trip_and_a_summary(start: Start, capsys: Captured) -> None:
    with start() as firmware:
        assert main(["ping", firmware.port, "--count", "3", "--interval", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"{firmware.port}: tick 0 DISARMED ") and line.endswith(" ms") for line in lines[:3])
    assert "0 resent, 0 lost, 0 damaged" in lines[3]


def test_stop_stops_an_armed_firmware_without_opening_a_session(start: Start, capsys: Captured) -> None:
    with start() as firmware:
        link = Link(firmware.port)
        link.arm()
        link._worker.close()  # the host is gone, its arm still armed
        link._device.close()
        assert main(["stop", firmware.port]) == 0
        assert capsys.readouterr().out == f"{firmware.port}: STOPPED, trip STOP_FRAME, tick 0\n"
        with Link(firmware.port) as later:
            assert later.telemetry().trip is Trip.STOP_FRAME


def test_stop_says_when_nobody_answers(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    monkeypatch.setattr("hyt.firmware_bridge.commands.stop.TIMEOUT", 0.3)
    assert main(["stop", os.ttyname(slave)]) == 6
    assert "expected an answer to STOP within 0.3 s; received none" in capsys.readouterr().err
    os.close(master)
    os.close(slave)


def test_the_monitor_reports_until_its_time_is_over(start: Start, capsys: Captured) -> None:
    with start(lockstep=False, stall_limit_ticks=4000) as firmware:
        assert main(["monitor", firmware.port, "--seconds", "0.5", "--interval", "0.1"]) == 0
    printed = capsys.readouterr().out
    assert "connected, 400 Hz, link timeout 100 ticks, stop action HOLD, axes x -1 to 1 m, y -1 to 1 m" in printed
    assert printed.count("round trip") >= 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_the_ordinary_end_of_the_monitor(start: Start, number: int) -> None:
    with start(lockstep=False, stall_limit_ticks=4000) as firmware:
        command = [sys.executable, "-m", "hyt.firmware_bridge", "monitor", firmware.port]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(number)
            assert process.wait(timeout=10) == 0


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "interrupted\n"), (signal.SIGTERM, "ended by SIGTERM\n")])
def test_what_ends_a_command_early_is_said_and_is_its_exit_code(start: Start, number: int, said: str) -> None:
    with start(lockstep=False, stall_limit_ticks=4000) as firmware:
        command = [sys.executable, "-u", "-m", "hyt.firmware_bridge", "ping", firmware.port, "--count", "100000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(number)
            _, error = process.communicate(timeout=10)
            assert (process.returncode, error) == (128 + number, said)


@pytest.mark.parametrize("command", ["bench", "ping", "monitor", "stop"])
def test_a_missing_port_ends_with_6_and_one_line(command: str, capsys: Captured) -> None:
    assert main([command, "/dev/nothing"]) == 6
    assert capsys.readouterr().err.startswith("port /dev/nothing; expected a serial port; received no such device;")


def test_a_port_that_is_none_ends_with_5(capsys: Captured) -> None:
    assert main(["ping", "tcp://here"]) == 5
    assert capsys.readouterr().err.count("\n") == 1
