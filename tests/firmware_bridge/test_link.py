"""Link against the real firmware: connecting, its errors in one line each, and what it counts."""

from __future__ import annotations

import os
import pty
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyt.errors import InputError
from hyt.firmware_bridge import (
    AxisConfig,
    AxisInfo,
    ChunkRejected,
    FirmwareProcess,
    Interpolation,
    Link,
    LinkError,
    State,
    StopAction,
    Trip,
)
from hyt.firmware_bridge.constants import PROTOCOL_VERSION, SCHEMA_HASH

Start = Callable[..., FirmwareProcess]


def error_of(action: Callable[[], object]) -> str:
    with pytest.raises(LinkError) as caught:
        action()
    assert caught.value.exit_code == 6
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def silent_port() -> Iterator[str]:
    """A port on which nobody answers."""
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


def test_connecting_tells_what_the_firmware_is(start: Start) -> None:
    axes = [AxisConfig("shoulder", "rad", -1.5, 1.25, 2, 3, "hold", 0.5), AxisConfig("grip", "", 0, 1, 0, 0)]
    with start(axes=axes, underrun_timeout_ticks=9, stop_action="release") as firmware, Link(firmware.port) as link:
        info = link.info
        assert info.axes == (
            AxisInfo("shoulder", "rad", -1.5, 1.25, 2, 3, Interpolation.HOLD),
            AxisInfo("grip", "", 0, 1, 0, 0, Interpolation.LINEAR),
        )
        assert (info.tick_hz, info.link_timeout_ticks, info.underrun_timeout_ticks) == (400, 100, 9)
        assert (info.slots, info.max_points, info.lockstep) == (4, 512, True)
        assert (info.stop_action, info.schema) == (StopAction.RELEASE, SCHEMA_HASH)
        telemetry = link.telemetry()
        assert (telemetry.state, telemetry.trip, telemetry.enabled) == (State.DISARMED, Trip.NONE, False)
        assert telemetry.setpoints.tolist() == [0.5, 0.0]


def test_a_missing_port_is_one_line(tmp_path: Path) -> None:
    assert error_of(lambda: Link(str(tmp_path / "ttyUSB0"))) == (
        f"port {tmp_path}/ttyUSB0; expected a serial port; received no such device; "
        "plug it in, or look for its name with `ls /dev/serial/by-id`"
    )


def test_a_busy_port_is_one_line_and_the_owner_is_not_disturbed(start: Start) -> None:
    with start() as firmware, Link(firmware.port) as link:
        link.arm()
        assert error_of(lambda: Link(firmware.port)) == (
            f"port {firmware.port}; expected a free port; received it is in use by another program; "
            f"end that program; `fuser -v {firmware.port}` names it"
        )
        assert link.telemetry().state is State.ARMED


def test_a_port_without_permission_is_one_line(monkeypatch: pytest.MonkeyPatch, silent_port: str) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may open everything, so the system cannot be asked to refuse
    assert "received permission denied; add yourself to its group" in error_of(lambda: Link(silent_port))


def test_a_file_that_is_no_port_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert error_of(lambda: Link(str(tmp_path / "file"))).startswith(f"port {tmp_path}/file; expected a serial port;")


def test_a_silent_port_is_one_line_and_is_let_go(silent_port: str) -> None:
    for _ in range(2):
        assert error_of(lambda: Link(silent_port, timeout=0.2)) == (
            f"firmware on {silent_port}; expected an answer to HELLO within 0.2 s; received none; "
            "check cable, power and baud rate, and that a HyT firmware listens there"
        )


def test_another_schema_is_refused_with_both_named(start: Start) -> None:
    with start() as firmware:
        assert error_of(lambda: Link(firmware.port, schema=0x12345678)) == (
            f"firmware on {firmware.port}; expected protocol version {PROTOCOL_VERSION}, schema 12345678; "
            f"received version {PROTOCOL_VERSION}, schema {SCHEMA_HASH:08x}; flash the firmware of this version of hyt"
        )


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([[np.nan, 0]], "NaN"),
        ([[np.inf, 0]], "NaN"),
        ([[3000, 0]], "NaN or a larger one"),
        ([0, 0], r"shape \(2,\)"),
        ([[0, 0, 0]], r"shape \(1, 3\)"),
        (np.zeros((257, 2)), r"shape \(257, 2\)"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
    ],
)
def test_points_that_are_no_setpoints_never_reach_the_wire(start: Start, points: Any, said: str) -> None:
    with start() as firmware, Link(firmware.port) as link:
        link.arm()
        sent = link.statistics.sent
        with pytest.raises(InputError, match=said):
            link.send_chunk(0, 5, points)
        with pytest.raises(InputError, match="step_ticks"):
            link.send_chunk(0, 0, [[0, 0]])
        assert link.statistics.sent == sent


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"port": 5}, "port; expected a path, by-id:TEXT, tcp://HOST:PORT or virtual:; received 5"),
        ({"port": ""}, "port; expected a path"),
        ({"port": "tcp://localhost"}, "port tcp://localhost; expected tcp://HOST:PORT"),
        ({"port": "tcp://localhost:http"}, "expected tcp://HOST:PORT"),
        ({"baudrate": "fast"}, "baudrate; expected a whole number from 1 to 100000000; received 'fast'"),
        ({"baudrate": 0}, "baudrate; expected a whole number"),
        ({"timeout": None}, "timeout; expected seconds above 0; received None"),
        ({"timeout": float("nan")}, "timeout; expected seconds above 0"),
        ({"schema": 2**32}, "schema; expected a whole number"),
        ({"on_event": 1}, "on_event; expected a function of one Event"),
    ],
)
def test_arguments_of_another_kind_are_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        Link(**{"port": "/dev/nothing", **changes})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("start_tick", "step_ticks", "points", "said"),
    [
        ("now", 5, [[0, 0]], "start_tick; expected a whole number"),
        (0, 2.5, [[0, 0]], "step_ticks; expected a whole number"),
        (0, 5, [["a", "b"]], "chunk; expected points of numbers"),
        (0, 5, [[0], [0, 0]], "chunk; expected points of numbers"),
        (0, 5, None, "chunk; expected points"),
    ],
)
def test_a_chunk_of_another_kind_is_one_line(
    start: Start, start_tick: Any, step_ticks: Any, points: Any, said: str
) -> None:
    with start() as firmware, Link(firmware.port) as link:
        link.arm()
        with pytest.raises(InputError) as caught:
            link.send_chunk(start_tick, step_ticks, points)
        assert said in str(caught.value)


def test_the_largest_chunk_arrives_whole(start: Start) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (256, 2))
    with start(link_timeout_ticks=1000) as firmware, Link(firmware.port) as link:
        link.arm()
        link.send_chunk(0, 1, points)
        np.testing.assert_array_equal(firmware.advance(256), np.rint(points * 1e6) / 1e6)


def fail_while_armed(port: str) -> None:
    with Link(port) as link:
        link.arm()
        raise ZeroDivisionError


def test_leaving_the_context_disarms_and_an_exception_stops(start: Start) -> None:
    with start() as firmware:
        with Link(firmware.port) as link:
            link.arm()
        with Link(firmware.port) as link:
            assert link.telemetry().state is State.DISARMED
        with pytest.raises(ZeroDivisionError):
            fail_while_armed(firmware.port)
        with Link(firmware.port) as link:
            assert link.telemetry().trip is Trip.STOP_FRAME
            link.arm()


def test_a_closed_link_says_so(start: Start) -> None:
    with start() as firmware:
        link = Link(firmware.port)
        link.close()
        link.close()
        assert error_of(link.telemetry) == (
            f"link to {firmware.port} is down; received it was closed; open a new link and arm again"
        )


def test_a_firmware_that_vanishes_ends_the_link(start: Start) -> None:
    firmware = start()
    with Link(firmware.port, timeout=5) as link:
        link.arm()
        firmware.close()
        assert f"link to {firmware.port} is down; received" in error_of(link.telemetry)


def test_after_an_unanswered_command_only_stop_and_ping_go_on(start: Start) -> None:
    with start(lockstep=False, link_timeout_ticks=4000, stall_limit_ticks=40000) as firmware:
        link = Link(firmware.port, timeout=1.0)
        os.kill(firmware.pid, signal.SIGSTOP)
        assert "expected an answer to ARM within 1 s; received none" in error_of(link.arm)
        os.kill(firmware.pid, signal.SIGCONT)
        assert error_of(lambda: link.send_chunk(0, 5, [[0, 0]])) == (
            f"link to {firmware.port}; received no answer to ARM, so no more commands; open a new link and arm again"
        )
        time.sleep(0.2)
        assert link.stop().state is State.STOPPED
        link.close()


def test_stop_passes_what_waits_in_the_link_and_in_the_driver(start: Start) -> None:
    firmware = start(lockstep=False, link_timeout_ticks=40000, stall_limit_ticks=40000)
    with Link(firmware.port, timeout=20.0) as link, ThreadPoolExecutor(5) as pool:
        points = np.zeros((link.info.max_points // 2, 2))
        os.kill(firmware.pid, signal.SIGSTOP)  # so that nothing of what is sent leaves this computer
        chunks = [pool.submit(link.send_chunk, 0, 1, points) for _ in range(4)]
        time.sleep(0.5)
        stop = pool.submit(link.stop)
        time.sleep(0.2)
        os.kill(firmware.pid, signal.SIGCONT)
        # A pseudo-terminal takes back all but the 4095 bytes that its reader's side has already.
        heard_before_stop = stop.result().counters["chunks_rejected"]
        assert heard_before_stop <= 1
        for chunk in chunks:
            with pytest.raises(ChunkRejected, match=r"NOT_ARMED|LATCHED"):
                chunk.result()
        assert link.telemetry().counters["chunks_rejected"] == 4


def test_a_hundred_hosts_after_one_another_find_the_same_firmware(start: Start) -> None:
    with start() as firmware:
        for _ in range(100):
            with Link(firmware.port) as link:
                link.arm()
        assert firmware.advance(1).shape == (1, 2)


def test_several_threads_may_use_one_link(start: Start) -> None:
    with start(link_timeout_ticks=10**6) as firmware, Link(firmware.port) as link:
        link.arm()
        seen: list[int] = []
        threads = [
            threading.Thread(target=lambda: seen.extend(link.telemetry().tick for _ in range(50))) for _ in "abcd"
        ]
        for thread in threads:
            thread.start()
        for index in range(50):
            link.send_chunk(index * 4, 4, [[0.01 * index, 0]])
            firmware.advance(4)
        for thread in threads:
            thread.join()
        assert len(seen) == 200
        assert link.telemetry().counters["chunks_accepted"] == 50


def test_a_drive_is_the_same_every_time(start: Start) -> None:
    def drive() -> tuple[np.ndarray, dict[str, int]]:
        random = np.random.default_rng(3)
        with start() as firmware, Link(firmware.port) as link:
            link.arm()
            rows = []
            for index in range(30):
                link.send_chunk(25 * index, 25, random.uniform(-1, 1, (1, 2)))
                rows.append(firmware.advance(25))
            return np.vstack(rows), link.telemetry().counters

    (first, counters), (second, again) = drive(), drive()
    np.testing.assert_array_equal(first, second)
    assert counters == again
    assert (counters["chunks_accepted"], counters["chunks_rejected"], counters["bad_crc"]) == (30, 0, 0)


def test_statistics_count_both_directions_and_time_round_trips(start: Start) -> None:
    with start() as firmware, Link(firmware.port) as link:
        link.arm()
        with pytest.raises(ChunkRejected):
            link.send_chunk(-5, 5, [[0, 0]])
        statistics = link.statistics
        assert (statistics.lost, statistics.bad_crc, statistics.bad_framing, statistics.other_session) == (0, 0, 0, 0)
        assert statistics.rejected == {"LATE": 1}
        assert (statistics.sessions, statistics.credit, statistics.drift) == (1, 4, 0.0)
        assert 0 < statistics.round_trip_median <= statistics.round_trip_p99 <= statistics.round_trip_max < 5
        assert statistics.sent >= 6


def test_in_lockstep_the_clock_is_the_last_tick_heard(start: Start) -> None:
    with start() as firmware, Link(firmware.port) as link:
        firmware.advance(123)
        link.telemetry()
        assert link.clock.now() == 123


def test_in_real_time_the_clock_foretells_the_tick_and_heartbeats_keep_the_arm_armed(start: Start) -> None:
    with start(lockstep=False, link_timeout_ticks=400, stall_limit_ticks=4000) as firmware, Link(firmware.port) as link:
        link.arm()
        time.sleep(1.5)
        before = link.clock.now()
        telemetry = link.telemetry()
        after = link.clock.now()
        assert telemetry.state is State.ARMED
        assert before - 8 <= telemetry.tick <= after + 8  # 20 ms, on a machine that others use too
        assert link.clock.rate == pytest.approx(400, rel=0.02)
        assert link.statistics.lost == 0


@pytest.mark.parametrize("ppm", [-500, 500])
def test_a_clock_that_drifts_by_500_ppm_is_measured_and_chunks_start_on_time(start: Start, ppm: int) -> None:
    firmware = start(lockstep=False, tick_hz=1000, link_timeout_ticks=250, stall_limit_ticks=4000, clock_ppm=ppm)
    with Link(firmware.port) as link:
        link.arm()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and abs(link.statistics.drift * 1e6 - ppm) > 150:
            time.sleep(0.1)
        assert link.statistics.drift * 1e6 == pytest.approx(ppm, abs=150)
        start_tick = link.clock.now() + 50
        accepted = link.send_chunk(start_tick, 10, [[0.5, 0.5]])
        assert accepted.tick < start_tick
        while link.telemetry().tick < start_tick + 10:
            time.sleep(0.005)
        assert link.telemetry().setpoints.tolist() == [0.5, 0.5]
