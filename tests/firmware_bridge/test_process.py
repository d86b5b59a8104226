"""FirmwareProcess: bad configurations, its end, and that it leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hyt.errors import InputError
from hyt.firmware_bridge import AxisConfig, FirmwareConfig, FirmwareProcess, Link, LinkError
from hyt.firmware_bridge.process import PROGRAM, find_file

Start = Callable[..., FirmwareProcess]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axes": []}, "at least one --axis is needed"),
        ({"axes": [AxisConfig(f"a{i}", "m", -1, 1, 0, 0) for i in range(17)]}, "too many axes"),
        ({"axes": [AxisConfig("x", "m", 1, -1, 0, 0)]}, "x: an axis needs LOW <= INITIAL <= HIGH"),
        ({"axes": [AxisConfig("x", "m", -1, 1, 0, 0, initial=2)]}, "x: an axis needs LOW <= INITIAL <= HIGH"),
        ({"axes": [AxisConfig("x", "m", -1, 1, -1, 0)]}, "must not be negative"),
        ({"axes": [AxisConfig("x", "m", float("nan"), 1, 0, 0)]}, "bad axis"),
        ({"axes": [AxisConfig("x", "m", -1e9, 1, 0, 0)]}, "bad axis"),
        ({"axes": [AxisConfig("x,y", "m", -1, 1, 0, 0)]}, "bad axis"),
        ({"axes": [AxisConfig("", "m", -1, 1, 0, 0)]}, "bad axis"),
        ({"axes": [AxisConfig("a name that is too long", "m", -1, 1, 0, 0)]}, "bad axis"),
        ({"tick_hz": 0}, "tick-hz must be 1 to 100000"),
        ({"tick_hz": -1}, "bad value: -1"),
        ({"link_timeout_ticks": 0}, "link-timeout must be 1 to 16777216 ticks"),
        ({"stop_action": "explode"}, "bad value: explode"),
        ({"start_tick": 2**32}, "bad value: 4294967296"),
        ({"clock_ppm": 10001}, "bad value: 10001"),
        ({"axes": ["x"]}, "expected a FirmwareConfig of AxisConfigs"),
        ({"axes": [AxisConfig("x", "m", "low", 1, 0, 0)]}, "axis x; expected limits that are numbers"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_configuration_is_one_line(start: Start, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        start(**changes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [[], ["--axis"], ["--nonsense"], ["--axis", "x,m,-1,1,0,0,linear,0", "more"]])
def test_bad_arguments_end_with_2_and_one_line(program: Path, arguments: list[str]) -> None:
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_help_is_printed(program: Path) -> None:
    done = subprocess.run([str(program), "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stdout[:6]) == (0, "usage:")


def test_a_trace_that_cannot_be_written_is_one_line(start: Start, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        start(trace=tmp_path / "missing" / "trace.csv")


def test_a_missing_program_is_one_line(tmp_path: Path) -> None:
    config = FirmwareConfig([AxisConfig("x", "m", -1, 1, 0, 0)])
    with pytest.raises(LinkError, match="install hyt again"):
        FirmwareProcess(config, lockstep=True, program=tmp_path / "none")


def test_the_installed_package_has_the_program_and_it_runs() -> None:
    assert find_file(PROGRAM).name == PROGRAM
    with FirmwareProcess(FirmwareConfig([AxisConfig("x", "m", -1, 1, 0, 0)]), lockstep=True) as firmware:
        assert firmware.advance(3).shape == (3, 1)


def test_advancing_is_for_lockstep_and_for_sensible_numbers(start: Start) -> None:
    with start() as firmware:
        assert firmware.advance(0).shape == (0, 2)
        assert firmware.advance(100_000).shape == (100_000, 2)
        for ticks in (-1, 1_000_001, 1.5, "3"):
            with pytest.raises(InputError, match="0 to 1000000 ticks"):
                firmware.advance(ticks)  # type: ignore[arg-type]
    with start(lockstep=False) as firmware, pytest.raises(InputError, match="expected lockstep"):
        firmware.advance(1)


def test_a_program_that_died_is_told(start: Start) -> None:
    firmware = start()
    os.kill(firmware.pid, 9)
    with pytest.raises(LinkError, match="expected a running program"):
        firmware.advance(1_000_000)
    with pytest.raises(LinkError, match="expected exit code 0; received -9"):
        firmware.close()


def test_the_trace_has_one_line_per_tick(start: Start, tmp_path: Path) -> None:
    with start(trace=tmp_path / "trace.csv") as firmware, Link(firmware.port) as link:
        link.arm()
        link.send_chunk(0, 2, [[1, -1]])
        firmware.advance(3)
    assert (tmp_path / "trace.csv").read_text().splitlines() == [
        "tick,state,trip,enabled,silence,x,y",
        "1,1,0,1,1,500000,-500000",
        "2,1,0,1,2,1000000,-1000000",
        "3,1,0,1,3,1000000,-1000000",
    ]


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize(
    ("kind", "program"), [("FirmwareProcess", "hyt-firmware-host"), ("QemuFirmware", "hyt-firmware-qemu.elf")]
)
def test_a_program_does_not_outlive_the_process_that_started_it_when_that_is_killed(
    build: Path, kind: str, program: str, lockstep: bool
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from hyt.firmware_bridge import *;"
        "config = FirmwareConfig([AxisConfig('x', 'm', -1, 1, 0, 0)]);"
        f"fw = {kind}(config, lockstep={lockstep}, program=Path(sys.argv[1]));"
        "print(fw.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(build / program)], capture_output=True, text=True)
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/exe").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_program_outlives_the_thread_that_started_it(start: Start) -> None:
    firmware: list[FirmwareProcess] = []
    thread = threading.Thread(target=lambda: firmware.append(start(lockstep=False)))
    thread.start()
    thread.join()
    time.sleep(0.2)
    with Link(firmware[0].port) as link:
        assert link.telemetry().tick > 0


@pytest.mark.parametrize("lockstep", [True, False])
def test_the_program_is_not_in_the_terminals_process_group_so_ctrl_c_does_not_reach_it(
    start: Start, lockstep: bool
) -> None:
    assert os.getpgid(start(lockstep=lockstep).pid) != os.getpgid(0)


def test_in_real_time_ticks_pass_by_the_clock_and_sigterm_ends_it(start: Start) -> None:
    with start(lockstep=False, tick_hz=1000) as firmware:
        with Link(firmware.port) as link:
            before = time.monotonic()
            first = link.telemetry().tick
            after = time.monotonic()
            time.sleep(0.5)
            least = time.monotonic() - after
            ticks = link.telemetry().tick - first
            most = time.monotonic() - before
        assert least * 1000 - 50 <= ticks <= most * 1000 + 50  # a busy machine runs late ticks a little later


def test_the_real_time_emergency_stop_is_a_signal(start: Start) -> None:
    with start(lockstep=False) as firmware, Link(firmware.port) as link:
        for pressed in (True, False):
            firmware.emergency_stop(pressed)
            deadline = time.monotonic() + 5
            while link.telemetry().emergency_stop is not pressed:
                assert time.monotonic() < deadline
