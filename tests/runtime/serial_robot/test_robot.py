"""A serial robot end to end: the shipped policy through hyt-run, a robot.toml and the real firmware in real time."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robots import POLICY, chunk_of, contract, gantry_text, write_robot

from hyt.errors import ChunkRejected, InputError, LinkError
from hyt.export.exporter import export_bundle
from hyt.firmware_bridge import FirmwareProcess, Link, State, Trip
from hyt.runtime.cli import main
from hyt.runtime.serial_robot import SerialRobot, read_description

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "arm.hyt"
    export_bundle(POLICY, path, threads=1)
    return path


@pytest.fixture
def firmware(tmp_path: Path) -> Iterator[FirmwareProcess]:
    """The gantry's firmware on a port of its own; robot.toml and its frames stand in tmp_path."""
    config = read_description(write_robot(tmp_path)).firmware_config()
    with FirmwareProcess(config, lockstep=False, trace=tmp_path / "trace.csv") as process:
        write_robot(tmp_path, gantry_text(process.port))
        yield process


def drive(bundle: Path, folder: Path, *more: str) -> list[str]:
    robot = f"serial:{folder / 'robot.toml'}"
    return ["drive", str(bundle), "--robot", robot, "--threads", "1", "--json", str(folder / "drive.json"), *more]


def traced(folder: Path) -> list[dict[str, int]]:
    text = (folder / "trace.csv").read_text()
    return [{k: int(v) for k, v in row.items()} for row in csv.DictReader(text[: text.rindex("\n")].splitlines())]


def state_of(firmware: FirmwareProcess) -> Any:
    with Link(firmware.port) as link:
        return link.telemetry()


def test_the_shipped_policy_drives_the_axes_by_what_it_said(
    bundle: Path, firmware: FirmwareProcess, tmp_path: Path, capsys: Captured
) -> None:
    assert main(drive(bundle, tmp_path, "--decisions", "6", "--yes", "--no-view")) == 0
    printed = capsys.readouterr().out
    assert "serial:gantry - act: episode 1/1 ended after 6 decisions\n" in printed
    assert "solved in" not in printed  # nothing tells
    report = json.loads((tmp_path / "drive.json").read_text())
    (robot,) = report["robots"]
    assert (report["ended"], robot["robot"], robot["instruction"]) == ("done", "serial:gantry", "open the drawer")
    assert robot["decisions"] == robot["firmware"]["chunks"] == 6
    assert robot["firmware"]["rejected_chunks"] == robot["firmware"]["rejected_frames"] == 0
    rows = traced(tmp_path)
    # Every setpoint that the firmware put out lies in its axis, and the way went by steps of at most 5 cm.
    xyz = np.array([[row["x"], row["y"], row["z"]] for row in rows]) / 1e6
    assert ((xyz >= [-0.5, 0.4, 0.0]) & (xyz <= [0.5, 1.0, 0.5])).all()
    assert np.abs(np.diff(xyz, axis=0)).max() <= 0.05 / 25 + 1e-6
    assert np.ptp(xyz, axis=0).max() > 0.005  # it did move
    assert state_of(firmware).state is State.DISARMED


def test_a_dry_run_shows_every_setpoint_and_arms_nothing(
    bundle: Path, firmware: FirmwareProcess, tmp_path: Path, capsys: Captured
) -> None:
    assert main(drive(bundle, tmp_path, "--decisions", "3", "--dry-run")) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("would send")]
    assert len(shown) == 3
    assert re.fullmatch(
        r"would send x [+-]0\.\d{6} m  y \+0\.\d{6} m  z \+0\.\d{6} m  gripper [+-]\d\.\d{6} 1", shown[0]
    )
    rows = traced(tmp_path)
    assert {row["state"] for row in rows} == {State.DISARMED}
    assert {(row["x"], row["y"], row["z"]) for row in rows} == {(0, 600000, 200000)}


def test_a_virtual_port_starts_a_firmware_for_the_axes_that_are_described(bundle: Path, tmp_path: Path) -> None:
    write_robot(tmp_path)
    assert main(drive(bundle, tmp_path, "--decisions", "2", "--yes", "--no-view")) == 0
    assert json.loads((tmp_path / "drive.json").read_text())["robots"][0]["firmware"]["chunks"] == 2


def test_arming_asks_on_the_terminal_and_without_one_it_is_refused(
    bundle: Path, firmware: FirmwareProcess, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "hyt.runtime.cli", *drive(bundle, tmp_path, "--decisions", "1", "--no-view")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 5
    assert "arming; expected a yes on the terminal; received no terminal; give --yes" in done.stderr
    for answer, code in ((b"no\n", 5), (b"yes\n", 0)):
        master, slave = pty.openpty()
        os.write(master, answer)
        done = subprocess.run(command, stdin=slave, capture_output=True, text=True)
        os.close(slave)
        os.close(master)
        assert f"About to arm gantry on {firmware.port} (axes x, y, z, gripper): it will move." in done.stderr
        assert done.returncode == code, done.stderr
    assert {row["state"] for row in traced(tmp_path)} == {State.DISARMED, State.ARMED}


def test_an_interrupted_drive_disarms_and_writes_what_it_has(
    bundle: Path, firmware: FirmwareProcess, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "hyt.runtime.cli", *drive(bundle, tmp_path, "--yes", "--no-view")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not any(row["z"] != 200000 or row["x"] != 0 for row in traced(tmp_path)[-50:]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.5)  # some decisions
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    report = json.loads((tmp_path / "drive.json").read_text())
    assert report["ended"] == "interrupted"
    (robot,) = report["robots"]
    assert robot["episodes"] == []
    assert robot["unfinished"]["decisions"] == robot["decisions"] == robot["latency_ms"]["policy"]["count"]
    assert state_of(firmware).state is State.DISARMED


def opened(folder: Path, **changes: Any) -> SerialRobot:
    return SerialRobot(folder / "robot.toml", contract(**changes))


def test_a_lost_delta_chunk_stops_the_run_with_its_reason(firmware: FirmwareProcess, tmp_path: Path) -> None:
    robot = opened(tmp_path)
    try:
        robot.reset(0)
        robot._link.send_chunk(robot._link.clock.now() + 20, 400, [[0, 0.6, 0.2, 0]])  # another second is taken
        with pytest.raises(LinkError) as caught:
            robot.execute(chunk_of(contract(), [[0.01, 0, 0, 0]]))
    finally:
        robot.close()
    assert "robot 'serial:gantry': a chunk of deltas or velocities was lost; received chunk rejected: OVERLAP" in str(
        caught.value
    )
    assert not isinstance(caught.value, ChunkRejected)
    assert state_of(firmware).setpoints.tolist() == [0, 0.6, 0.2, 0]


def test_a_long_chunk_is_sent_in_parts_and_ends_exactly_where_it_should(
    firmware: FirmwareProcess, tmp_path: Path
) -> None:
    steps = 300  # of 4 axes: three chunks of the firmware
    of = contract(steps=steps, step_time=0.0025)
    robot = SerialRobot(tmp_path / "robot.toml", of)
    try:
        robot.reset(0)
        outcome = robot.execute(chunk_of(of, np.tile([0.001, 0.0005, -0.0005, 1.0], (steps, 1))))
        assert robot.counters()["chunks"] == 3
        assert not outcome.late
        np.testing.assert_allclose(robot._telemetry.setpoints, [0.3, 0.75, 0.05, 1.0], atol=1e-5)
        assert robot.observe().state[3] == pytest.approx(1.0)
    finally:
        robot.close()


def test_a_trip_in_mid_chunk_ends_the_run_at_once(firmware: FirmwareProcess, tmp_path: Path) -> None:
    of = contract(step_time=10.0)
    robot = SerialRobot(tmp_path / "robot.toml", of)
    try:
        robot.reset(0)
        pressing = threading.Thread(target=press_in_mid_chunk, args=(robot, firmware))
        pressing.start()
        began = time.monotonic()
        with pytest.raises(LinkError, match=r"the firmware stopped at tick \d+; .*; received EMERGENCY_STOP; see to"):
            robot.execute(chunk_of(of, [[0.01, 0, 0, 0]]))
        assert time.monotonic() - began < 5
        pressing.join()
    finally:
        robot.close()
    assert state_of(firmware).trip is Trip.EMERGENCY_STOP


def press_in_mid_chunk(robot: SerialRobot, firmware: FirmwareProcess) -> None:
    while robot.counters()["chunks"] == 0:
        time.sleep(0.01)
    firmware.emergency_stop(True)


def test_what_a_serial_robot_cannot_do_is_refused(bundle: Path, tmp_path: Path, capsys: Captured) -> None:
    write_robot(tmp_path)
    for more, said in (
        (["--port", "/dev/ttyACM0"], "--port; expected no port: robot.toml names it"),
        (["--film", str(tmp_path / "film")], "--film; expected a simulated robot"),
        (["--mode", "follow", "--yes"], "follow; expected a sub-instruction"),
    ):
        assert main(drive(bundle, tmp_path, *more)) == 5
        assert said in capsys.readouterr().err
    assert main(["drive", str(bundle), "--robot", "sim:metaworld/drawer-open-v3", "--dry-run"]) == 5
    assert "--dry-run; expected a serial: robot" in capsys.readouterr().err


def test_a_policy_of_another_space_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    write_robot(tmp_path, gantry_text("/dev/nothing"))
    with pytest.raises(InputError, match="name a kinematics adapter"):
        opened(tmp_path, dimensions={"x": {"frame": "end_effector"}})
    with pytest.raises(LinkError, match="no such device"):
        opened(tmp_path)
