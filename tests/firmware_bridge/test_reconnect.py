"""A lost link: cable pulled, firmware reset, host stopped, another host. Nothing moves again without arming."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from cable import Cable

from hyt.firmware_bridge import (
    Connected,
    Disconnected,
    Event,
    FirmwareProcess,
    Heard,
    Link,
    LinkError,
    State,
    StateChanged,
    Trip,
)
from hyt.firmware_bridge.constants import HELLO, SCHEMA_HASH, MessageType

Start = Callable[..., FirmwareProcess]


class Wire(Protocol):
    """What conftest's wire_to gives."""

    def say(self, type_: int, payload: bytes = b"", *, session: int = 7, sequence: int = 0) -> None: ...


def until(true: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def news(events: list[Event]) -> list[str]:
    """The events but for telemetry that says nothing new, in words."""
    words = []
    for event in events:
        if isinstance(event, Disconnected):
            words.append(f"disconnected, {'retrying' if event.retrying else 'for good'}")
        elif isinstance(event, StateChanged):
            words.append(f"{event.telemetry.state.name} {event.telemetry.trip.name}")
        elif isinstance(event, Connected):
            words.append("connected")
        else:
            assert isinstance(event, Heard)
    return words


@pytest.fixture
def cable_to(tmp_path: Path) -> Iterator[Callable[[str], Cable]]:
    cables: list[Cable] = []

    def connect(port: str) -> Cable:
        cables.append(Cable(tmp_path, port))
        return cables[-1]

    yield connect
    for cable in cables:
        cable.pull()


def moving(link: Link) -> None:
    """Arm and send 50 seconds of motion."""
    link.arm()
    link.send_chunk(link.telemetry().tick + 40, 20000, [[1, 1]])


def test_a_pulled_cable_stops_the_arm_and_a_plugged_one_opens_a_session_that_must_arm(
    start: Start, cable_to: Callable[[str], Cable]
) -> None:
    events: list[Event] = []
    firmware = start(lockstep=False, link_timeout_ticks=200, stall_limit_ticks=4000)
    cable = cable_to(firmware.port)
    with Link(cable.port, reconnect=True, on_event=events.append) as link:
        first = link.info.session
        moving(link)
        cable.pull()
        until(lambda: "disconnected, retrying" in news(events), "the pulled cable was not noticed")
        with pytest.raises(LinkError, match=r"is down; received .*; it reconnects by itself: arm again then"):
            link.telemetry()
        time.sleep(0.7)  # more than the firmware's 0.5 s
        cable.plug(firmware.port)
        until(lambda: news(events).count("connected") == 2, "it did not reconnect")
        telemetry = link.telemetry()
        assert (telemetry.state, telemetry.trip) == (State.STOPPED, Trip.LINK_SILENCE)
        assert link.info.session != first
        time.sleep(0.2)
        assert (link.telemetry().setpoints == telemetry.setpoints).all()
        link.arm()
        assert link.telemetry().state is State.ARMED
        assert link.statistics.sessions == 2


def test_a_firmware_reset_in_mid_chunk_is_found_again_disarmed(start: Start, cable_to: Callable[[str], Cable]) -> None:
    events: list[Event] = []
    settings = {"lockstep": False, "link_timeout_ticks": 400, "stall_limit_ticks": 4000}
    before = start(**settings, start_tick=100000)
    cable = cable_to(before.port)
    with Link(cable.port, reconnect=True, on_event=events.append) as link:
        moving(link)
        cable.pull()
        before.close()
        cable.plug(start(**settings).port)
        until(lambda: news(events).count("connected") == 2, "it did not reconnect")
        telemetry = link.telemetry()
        assert telemetry.tick < 100000
        assert (telemetry.state, telemetry.setpoints.tolist()) == (State.DISARMED, [0, 0])
        with pytest.raises(LinkError, match="NOT_ARMED"):
            link.send_chunk(telemetry.tick + 100, 5, [[0, 0]])


def test_a_reset_behind_a_line_that_stays_up_is_told_from_another_host(start: Start, tmp_path: Path) -> None:
    # The UART stays open while the microcontroller boots: all that tells the host is the answer OLD_SESSION.
    settings = {"lockstep": False, "link_timeout_ticks": 400, "stall_limit_ticks": 4000}
    before, after = start(**settings, start_tick=100000), start(**settings)
    events: list[Event] = []
    cable = Cable(tmp_path, before.port)
    with Link(cable.port, reconnect=True, on_event=events.append) as link:
        moving(link)
        cable.swap(after.port)
        until(lambda: news(events).count("connected") == 2, "it did not reconnect")
        (lost,) = [event for event in events if isinstance(event, Disconnected)]
        assert lost.reason == "the firmware was reset"
        assert link.telemetry().state is State.DISARMED
    cable.pull()


def test_without_reconnect_a_lost_link_is_final(start: Start, cable_to: Callable[[str], Cable]) -> None:
    events: list[Event] = []
    cable = cable_to(start(lockstep=False, stall_limit_ticks=4000).port)
    with Link(cable.port, on_event=events.append) as link:
        cable.pull()
        until(lambda: "disconnected, for good" in news(events), "the pulled cable was not noticed")
        with pytest.raises(LinkError, match="open a new link and arm again"):
            link.arm()


def test_a_firmware_that_another_host_took_is_left_to_it(start: Start, wire_to: Callable[[str], Wire]) -> None:
    events: list[Event] = []
    firmware = start(lockstep=False, stall_limit_ticks=4000)
    with Link(firmware.port, reconnect=True, on_event=events.append) as link:
        moving(link)
        wire_to(firmware.port).say(MessageType.HELLO, HELLO.pack(SCHEMA_HASH), session=99)
        until(lambda: "disconnected, for good" in news(events), "the lost session was not noticed")
    with Link(firmware.port) as link:
        assert link.telemetry().trip is Trip.NEW_SESSION


def test_a_firmware_that_falls_silent_is_found_again(start: Start) -> None:
    events: list[Event] = []
    firmware = start(lockstep=False, stall_limit_ticks=40000)
    with Link(firmware.port, timeout=0.5, reconnect=True, on_event=events.append) as link:
        os.kill(firmware.pid, signal.SIGSTOP)
        until(lambda: "disconnected, retrying" in news(events), "the silence was not noticed")
        os.kill(firmware.pid, signal.SIGCONT)
        until(lambda: news(events).count("connected") == 2, "it did not reconnect")
        assert link.telemetry().state is State.DISARMED


def test_a_host_that_was_stopped_and_goes_on_finds_the_arm_latched(start: Start) -> None:
    firmware = start(lockstep=False, link_timeout_ticks=200, stall_limit_ticks=4000)
    host = textwrap.dedent(
        """
        import sys
        from hyt.firmware_bridge import Link, LinkError
        with Link(sys.argv[1]) as link:
            link.arm()
            link.send_chunk(link.telemetry().tick + 40, 20000, [[1, 1]])
            print("moving", flush=True)
            sys.stdin.readline()
            for action in (link.arm, lambda: link.send_chunk(link.telemetry().tick + 40, 5, [[0, 0]])):
                try:
                    action()
                except LinkError as error:
                    print(error, flush=True)
            print(link.telemetry().setpoints.tolist() == link.telemetry().setpoints.tolist(), flush=True)
        """
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", host, firmware.port], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "moving\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)  # three timeouts
        process.send_signal(signal.SIGCONT)
        process.stdin.write("go on\n")
        process.stdin.flush()
        said = process.stdout.read().splitlines()
    assert said[0].startswith("arming refused; received LATCHED, the firmware tripped in this session: LINK_SILENCE")
    assert said[1].startswith("chunk rejected: LATCHED; received the firmware tripped: LINK_SILENCE")
    assert said[2] == "True"


def test_a_listener_that_fails_costs_no_heartbeat(start: Start) -> None:
    def fail(event: Event) -> None:
        raise ZeroDivisionError

    firmware = start(lockstep=False, link_timeout_ticks=200, stall_limit_ticks=4000)
    with Link(firmware.port, on_event=fail) as link:
        link.arm()
        time.sleep(1.0)
        assert link.telemetry().state is State.ARMED


def test_while_it_looks_for_a_lost_port_it_takes_no_processor_time_and_can_be_closed(
    start: Start, cable_to: Callable[[str], Cable]
) -> None:
    events: list[Event] = []
    cable = cable_to(start(lockstep=False, stall_limit_ticks=4000).port)
    link = Link(cable.port, reconnect=True, on_event=events.append)
    cable.pull()
    until(lambda: "disconnected, retrying" in news(events), "the pulled cable was not noticed")
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.25
    began = time.monotonic()
    link.close()
    assert time.monotonic() - began < 0.5
    assert news(events)[-1] == "disconnected, for good"
