"""A drive of a serial robot when something fails: it ends with its reason, and the arm stops where the limits allow."""

from __future__ import annotations

import contextlib
import csv
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cable import Cable
from proxy import Proxy
from robots import POLICY, chunk_of, contract, gantry_text, write_robot

from hyt.errors import HytError, LinkError, StoppedError
from hyt.export.exporter import export_bundle
from hyt.firmware_bridge import FirmwareProcess, Link, State, Trip
from hyt.runtime.controls import Controls
from hyt.runtime.schedule.sender import ATTEMPTS
from hyt.runtime.serial_robot import SerialRobot, read_description

ABSOLUTE = {name: {"semantics": "absolute", "relative_to": "none"} for name in ("x", "y", "z")}
LIMITS = {"x": (-0.5, 0.5), "y": (0.4, 1.0), "z": (0.0, 0.5), "gripper": (-1.0, 1.0)}


@pytest.fixture
def gantry(tmp_path: Path) -> Iterator[Callable[..., FirmwareProcess]]:
    """Starts the gantry's firmware and writes a robot.toml for its port."""
    with contextlib.ExitStack() as stack:

        def start(**changes: str) -> FirmwareProcess:
            text = gantry_text("virtual:")
            for before, after in changes.items():
                text = text.replace(f"{before} = ", f"{before} = {after} # ", 1)
            config = read_description(write_robot(tmp_path, text)).firmware_config()
            process = stack.enter_context(FirmwareProcess(config, lockstep=False, trace=tmp_path / "trace.csv"))
            rewire(tmp_path, process.port)
            return process

        yield start


def rewire(folder: Path, port: str) -> None:
    """Make the described robot that of another port."""
    path = folder / "robot.toml"
    path.write_text(re.sub(r'^device = ".*"', f'device = "{port}"', path.read_text(), flags=re.MULTILINE))


def traced(folder: Path) -> list[dict[str, int]]:
    text = (folder / "trace.csv").read_text()
    return [{k: int(v) for k, v in row.items()} for row in csv.DictReader(text[: text.rindex("\n")].splitlines())]


def stopped_within_limits(folder: Path, seconds: float = 10.0) -> Trip:
    """Waits until the firmware is armed no more; every setpoint that it put out was within its axis."""
    deadline = time.monotonic() + seconds
    while traced(folder)[-1]["state"] == State.ARMED:
        assert time.monotonic() < deadline, "it is still armed"
        time.sleep(0.05)
    last = traced(folder)
    time.sleep(0.1)
    rows = traced(folder)
    for name, (low, high) in LIMITS.items():
        values = np.array([row[name] for row in rows]) / 1e6
        assert ((values >= low) & (values <= high)).all()
        assert values[-1] == last[-1][name] / 1e6  # and it rests
    return Trip(rows[-1]["trip"])


@pytest.mark.parametrize("seed", [1, 2])
def test_under_twenty_percent_damage_a_drive_ends_safely(gantry: Any, tmp_path: Path, seed: int) -> None:
    firmware = gantry()
    of = contract(dimensions=ABSOLUTE)
    done, reason, counters = 0, "", dict[str, int]()
    with Proxy(firmware.port, seed=seed, damage=0.2) as wire:
        rewire(tmp_path, wire.near)
        try:
            robot = SerialRobot(tmp_path / "robot.toml", of)
            try:
                robot.reset(0)
                for index in range(12):
                    robot.execute(chunk_of(of, [[0.05 * (index % 2), 0.6, 0.2, 1.0]]))
                    done += 1
            finally:
                counters = dict(robot.counters())
                robot.close()
        except HytError as problem:
            reason = str(problem)
        assert sum(count for fault, count in wire.to_firmware.done.items() if fault != "none") > 0
    assert done == 12 or reason
    assert "\n" not in reason
    assert done == 0 or counters["resent_frames"] + counters["lost_frames"] > 0
    stopped_within_limits(tmp_path)


def test_a_drive_whose_cable_is_pulled_ends_and_the_arm_stops_by_itself(gantry: Any, tmp_path: Path) -> None:
    cable = Cable(tmp_path, gantry().port)
    rewire(tmp_path, cable.port)
    of = contract(step_time=20.0)
    robot = SerialRobot(tmp_path / "robot.toml", of)
    try:
        robot.reset(0)
        link = robot._link
        link.send_chunk(link.clock.now() + 20, 8000, [[0.4, 0.9, 0.4, 1.0]])
        time.sleep(0.2)
        cable.pull()
        with pytest.raises(LinkError, match="is down; received"):
            robot.execute(chunk_of(of, [[0.01, 0, 0, 0]]))
    finally:
        robot.close()
    assert stopped_within_limits(tmp_path) is Trip.LINK_SILENCE


def test_a_users_stop_reaches_the_firmware_past_a_loop_that_is_busy(gantry: Any, tmp_path: Path) -> None:
    gantry()
    of, controls = contract(step_time=20.0), Controls()
    robot = SerialRobot(tmp_path / "robot.toml", of)

    def drive() -> None:
        robot.reset(0)
        robot.send(chunk_of(of, [[0.3, 0, 0, 0]]))
        said = threading.Timer(0.3, controls.stop)
        said.start()
        said.join()  # the loop's thread asks nothing of the robot: the policy takes its time
        assert robot._link.latest.state is State.STOPPED  # type: ignore[union-attr]
        robot.observe()

    try:
        with pytest.raises(StoppedError, match="received a stop from the user"), controls.driving(robot):
            drive()
    finally:
        robot.close()
    assert stopped_within_limits(tmp_path) is Trip.STOP_FRAME


def test_a_host_slower_than_its_chunks_finds_the_arm_tripped_by_underrun(gantry: Any, tmp_path: Path) -> None:
    gantry(stop_action='"hold"\nunderrun_timeout_ticks = 60')
    robot = SerialRobot(tmp_path / "robot.toml", contract())
    try:
        robot.reset(0)
        robot.execute(chunk_of(contract(), [[0.01, 0, 0, 0]]))
        time.sleep(0.6)  # a policy that thinks for too long
        with pytest.raises(LinkError, match=r"the firmware stopped at tick .*; received UNDERRUN"):
            robot.observe()
    finally:
        robot.close()
    assert stopped_within_limits(tmp_path) is Trip.UNDERRUN


@pytest.mark.parametrize("dimensions", [ABSOLUTE, {}])
def test_a_late_chunk_starts_at_the_next_possible_tick_and_loses_nothing(
    gantry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dimensions: Any
) -> None:
    gantry()
    robot = SerialRobot(tmp_path / "robot.toml", contract(dimensions=dimensions))
    where = [0.01, 0.6, 0.2, 0.0]
    try:
        robot.reset(0)
        slow = iter([400, 400])  # ticks by which the host's clock is behind, twice

        def tick(right: Callable[[], int] = robot.tick) -> int:
            return right() - next(slow, 0)

        monkeypatch.setattr(robot._sender, "_tick", tick)
        outcome = robot.execute(chunk_of(robot._contract, [where if dimensions else [0.01, 0, 0, 0]]))
        assert outcome.late
        assert robot._link.latest is not None
        np.testing.assert_allclose(robot._link.latest.setpoints, where, atol=2e-6)
        assert robot._link.telemetry().counters["chunks_rejected"] == 2
    finally:
        robot.close()
    assert stopped_within_limits(tmp_path) is Trip.NONE


def test_a_chunk_that_stays_late_ends_the_run(gantry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gantry()
    robot = SerialRobot(tmp_path / "robot.toml", contract())
    try:
        robot.reset(0)
        right = robot.tick
        monkeypatch.setattr(robot._sender, "_tick", lambda: right() - 4000)
        with pytest.raises(LinkError, match=r"a chunk of deltas or velocities was lost; .* rejected: LATE"):
            robot.execute(chunk_of(contract(), [[0.01, 0, 0, 0]]))
        assert robot._link.telemetry().counters["chunks_rejected"] == ATTEMPTS
    finally:
        robot.close()
    assert stopped_within_limits(tmp_path) is Trip.NONE


def test_a_drive_that_is_killed_leaves_an_arm_that_stops_by_itself(gantry: Any, tmp_path: Path) -> None:
    firmware = gantry()
    export_bundle(POLICY, tmp_path / "arm.hyt", threads=1)
    robot = f"serial:{tmp_path / 'robot.toml'}"
    command = [sys.executable, "-m", "hyt.runtime.cli", "drive", str(tmp_path / "arm.hyt"), "--robot", robot]
    with subprocess.Popen([*command, "--threads", "1", "--yes", "--no-view"], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not any(row["state"] == State.ARMED and row["z"] != 200000 for row in traced(tmp_path)[-50:]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert stopped_within_limits(tmp_path) is Trip.LINK_SILENCE
    with Link(firmware.port) as link:
        assert link.telemetry().state is State.STOPPED
