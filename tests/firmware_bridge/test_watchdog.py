"""The firmware stops by itself after exactly the configured ticks, and stays stopped until a new session arms."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from ports import both

from hyt.firmware_bridge import AxisConfig, ChunkRejected, FirmwareProcess, Link, LinkError, State, Trip
from hyt.firmware_bridge.constants import HELLO, SCHEMA_HASH, MessageType

Start = Callable[..., FirmwareProcess]


class Wire(Protocol):
    """What conftest's wire_to gives."""

    def say(self, type_: int, payload: bytes = b"", *, session: int = 7, sequence: int = 0) -> None: ...


def trace_rows(path: Path) -> list[dict[str, int]]:
    """The finished lines of a trace."""
    text = path.read_text()
    return [{k: int(v) for k, v in row.items()} for row in csv.DictReader(text[: text.rindex("\n")].splitlines())]


@both
def test_silence_stops_the_arm_after_exactly_the_configured_ticks(start: Start, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    with start(link_timeout_ticks=37, trace=trace) as firmware, Link(firmware.port) as link:
        link.arm()
        firmware.advance(10)
        link.send_chunk(10, 100, [[1, 1]])
        path = firmware.advance(100)[:, 0]
        assert (path[1:36] > path[:35]).all()  # it moves in the ticks before the 37th of silence
        assert (path[36:] == path[35]).all()
        telemetry = link.telemetry()
        assert (telemetry.state, telemetry.trip, telemetry.trip_tick) == (State.STOPPED, Trip.LINK_SILENCE, 10 + 37)
        assert telemetry.counters["chunks_flushed"] == 1
    rows = trace_rows(trace)
    tripped = next(row for row in rows if row["trip"] == Trip.LINK_SILENCE)
    assert (tripped["tick"], tripped["silence"], tripped["state"]) == (47, 37, State.STOPPED)


@both
def test_any_call_feeds_the_watchdog_in_lockstep(start: Start) -> None:
    with start(link_timeout_ticks=5) as firmware, Link(firmware.port) as link:
        link.arm()
        for _ in range(20):
            firmware.advance(4)
            assert link.telemetry().state is State.ARMED


@both
def test_a_trip_latches_until_a_new_session_arms(start: Start) -> None:
    with start(link_timeout_ticks=5) as firmware:
        with Link(firmware.port) as link:
            link.arm()
            link.send_chunk(0, 50, [[1, 1]])
            here = firmware.advance(20)[-1]
            with pytest.raises(LinkError, match=r"arming refused; received LATCHED, .*: LINK_SILENCE; find the cause"):
                link.arm()
            with pytest.raises(LinkError, match="chunk rejected: LATCHED; received the firmware tripped: LINK_SILENCE"):
                link.send_chunk(20, 5, [[0, 0]])
            assert (firmware.advance(20) == here).all()
        with Link(firmware.port) as link:
            assert link.telemetry().state is State.STOPPED
            assert (firmware.advance(20) == here).all()  # a new session alone moves nothing
            link.arm()
            assert link.telemetry().trip is Trip.NONE
            link.send_chunk(60, 4, [[0, 0]])
            assert firmware.advance(4)[-1].tolist() == [0, 0]


@both
def test_an_empty_queue_trips_after_its_ticks_and_only_after_a_chunk(start: Start) -> None:
    with start(underrun_timeout_ticks=30, link_timeout_ticks=10000) as firmware, Link(firmware.port) as link:
        link.arm()
        firmware.advance(100)
        assert link.telemetry().state is State.ARMED
        link.send_chunk(100, 10, [[1, 1]])
        firmware.advance(10 + 29)
        assert link.telemetry().state is State.ARMED
        firmware.advance(1)
        telemetry = link.telemetry()
        assert (telemetry.trip, telemetry.trip_tick) == (Trip.UNDERRUN, 140)


@both
def test_the_emergency_stop_trips_at_the_next_tick_and_refuses_arming(start: Start) -> None:
    with start() as firmware:
        with Link(firmware.port) as link:
            link.arm()
            link.send_chunk(0, 50, [[1, 1]])
            firmware.advance(10)
            firmware.emergency_stop(True)
            firmware.advance(1)
            telemetry = link.telemetry()
            assert (telemetry.trip, telemetry.trip_tick, telemetry.emergency_stop) == (Trip.EMERGENCY_STOP, 11, True)
        with Link(firmware.port) as link:
            with pytest.raises(LinkError, match="EMERGENCY_STOP; release the emergency stop"):
                link.arm()
            firmware.emergency_stop(False)
            firmware.advance(1)
            link.arm()


@both
def test_stop_is_obeyed_at_once_and_latches(start: Start) -> None:
    with start() as firmware, Link(firmware.port) as link:
        link.arm()
        link.send_chunk(0, 50, [[1, 1]])
        here = firmware.advance(10)[-1]
        assert link.stop().state is State.STOPPED
        assert (firmware.advance(20) == here).all()
        with pytest.raises(LinkError, match="LATCHED"):
            link.arm()


@both
def test_stop_actions_hold_decelerate_and_release(start: Start) -> None:
    axes = [AxisConfig("x", "m", -1, 1, 0, 40.0)]  # 40 / 400**2 = 250 micro-units a tick, every tick
    after = {}
    for action in ("hold", "decelerate", "release"):
        with start(axes=axes, stop_action=action) as firmware, Link(firmware.port) as link:
            link.arm()
            link.send_chunk(0, 100, [[0.1]])  # 1000 micro-units a tick, reached after 4 ticks
            speed = firmware.advance(50)[-1, 0]
            link.stop()
            after[action] = (firmware.advance(20)[:, 0] - speed, link.telemetry())
    assert (after["hold"][0] == 0).all()
    assert after["hold"][1].enabled
    assert (after["decelerate"][0] * 1e6).round().tolist()[:5] == [750, 1250, 1500, 1500, 1500]
    assert after["decelerate"][1].state is State.STOPPED
    assert (after["release"][0] == 0).all()
    assert not after["release"][1].enabled


@both
def test_disarming_ends_motion_without_a_trip(start: Start) -> None:
    with start() as firmware, Link(firmware.port) as link:
        link.arm()
        link.send_chunk(0, 50, [[1, 1]])
        here = firmware.advance(10)[-1]
        link.disarm()
        assert (firmware.advance(20) == here).all()
        telemetry = link.telemetry()
        assert (telemetry.state, telemetry.trip) == (State.DISARMED, Trip.NONE)
        link.arm()


def test_a_second_session_while_armed_stops_the_first_and_tells_it(
    start: Start, wire_to: Callable[[str], Wire], tmp_path: Path
) -> None:
    trace = tmp_path / "trace.csv"
    with start(trace=trace) as firmware, Link(firmware.port) as link:
        link.arm()
        link.send_chunk(0, 50, [[1, 1]])
        here = firmware.advance(10)[-1]
        wire_to(firmware.port).say(MessageType.HELLO, HELLO.pack(SCHEMA_HASH), session=99)
        with pytest.raises(ChunkRejected, match="OLD_SESSION"):
            link.send_chunk(10, 5, [[0, 0]])
        with pytest.raises(LinkError, match="another host took over or the firmware was reset"):
            link.telemetry()
        assert (firmware.advance(20) == here).all()
    assert trace_rows(trace)[-1]["trip"] == Trip.NEW_SESSION


def test_killing_the_host_in_mid_motion_stops_the_arm_until_it_is_armed_again(start: Start, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    timeout = 200  # 0.5 s
    firmware = start(lockstep=False, trace=trace, link_timeout_ticks=timeout, stall_limit_ticks=4000)
    host = textwrap.dedent(
        """
        import sys, time
        from hyt.firmware_bridge import Link
        with Link(sys.argv[1]) as link:
            link.arm()
            link.send_chunk(link.telemetry().tick + 40, 20000, [[1, 1]])  # 50 s of motion
            print("moving", flush=True)
            time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", host, firmware.port], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"moving\n"
        time.sleep(1.5)  # three timeouts, in which heartbeats alone keep it going
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while not any(row["state"] == State.STOPPED for row in trace_rows(trace)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    rows = trace_rows(trace)
    first = next(i for i, row in enumerate(rows) if row["state"] == State.STOPPED)
    assert rows[first]["trip"] == Trip.LINK_SILENCE
    assert rows[first]["silence"] == timeout
    assert rows[first - 1]["x"] > rows[first - 1 - timeout]["x"] > 0  # it moved until then
    assert all(row["x"] == rows[first - 1]["x"] for row in rows[first:])
    with Link(firmware.port) as link:
        assert link.telemetry().state is State.STOPPED
        link.arm()
        here = link.telemetry()
        link.send_chunk(here.tick + 40, 40, [[0, 0]])
        while link.telemetry().setpoints.any():
            assert time.monotonic() < deadline + 20


def test_a_firmware_that_lost_its_ticks_trips_and_does_not_run_after_them(start: Start, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    firmware = start(lockstep=False, trace=trace, link_timeout_ticks=4000, stall_limit_ticks=100)
    with Link(firmware.port) as link:
        link.arm()
        link.send_chunk(link.telemetry().tick + 40, 20000, [[1, 1]])
        time.sleep(0.3)
        os.kill(firmware.pid, signal.SIGSTOP)
        time.sleep(1.0)  # 400 ticks
        os.kill(firmware.pid, signal.SIGCONT)
        deadline = time.monotonic() + 20
        while (telemetry := link.telemetry()).state is State.ARMED:
            assert time.monotonic() < deadline
        assert (telemetry.state, telemetry.trip) == (State.STOPPED, Trip.TICK_STALL)
        assert telemetry.counters["lost_ticks"] > 300
    rows = trace_rows(trace)
    gap = next(i for i in range(1, len(rows)) if rows[i]["tick"] > rows[i - 1]["tick"] + 100)
    assert all(row["x"] == rows[gap - 1]["x"] for row in rows[gap:])
