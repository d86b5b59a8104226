"""Tests of hyt.simulation.robot: the arm moves by what the firmware puts out, and stops when the host is gone."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
from bundles import ARM, write_arm_bundle

import hyt
from hyt.firmware_bridge import FirmwareConfig, FirmwareProcess, Link, State, Trip
from hyt.runtime.contract import Contract
from hyt.simulation.metaworld import MetaWorldArm
from hyt.simulation.robot import LINK_TIMEOUT_TICKS, SimulatedRobot, arm_firmware

TASK = "drawer-open-v3"
SEEDS = range(900_000, 900_003)


def arm_contract(**changes: Any) -> Contract:
    """The contract of `bundles.write_arm_bundle`, with `changes` in its action dimension x."""
    data = checkpoints.contract_data(ARM)
    data["cameras"][0]["name"] = data["prompt"][0]["camera"] = "corner2"
    for axis in data["action"]["dimensions"][:3]:
        axis.update(low=-0.05, high=0.05)
    data["action"]["dimensions"][3].update(low=-1.0, high=1.0, semantics="absolute", relative_to="none")
    data["action"]["dimensions"][0].update(changes)
    return Contract.model_validate(data)


@pytest.fixture(scope="module")
def robot() -> Iterator[SimulatedRobot]:
    with closing(SimulatedRobot(TASK, arm_contract())) as robot:
        yield robot


def chunk_of(robot: SimulatedRobot, action: np.ndarray) -> hyt.ActionChunk:
    """The chunk of one step that holds an expert's action (4,) in [-1, 1]."""
    values = np.append(0.05 * action[:3], action[3])[None].astype(np.float32)
    return hyt.ActionChunk(
        values, 0.0625, np.zeros(4, np.int32), np.ones(4, np.float32), arm_contract().action.dimensions
    )


def test_the_expert_opens_the_drawer_through_the_firmware(robot: SimulatedRobot) -> None:
    before = dict(robot.counters())
    decisions = 0
    for seed in SEEDS:
        robot.reset(seed)
        done = False
        while not done:
            outcome = robot.execute(chunk_of(robot, robot.arm.expert()))
            decisions, done = decisions + 1, outcome.done
        assert outcome.success
        assert robot.arm.control_steps <= 120
    after = robot.counters()
    assert after["chunks"] - before["chunks"] == decisions + len(SEEDS)  # one more an episode, to the start
    assert after["rejected_frames"] == after["rejected_chunks"] == after["limited_ticks"] == 0
    assert after["ticks"] > 25 * (decisions - len(SEEDS))


def test_the_arm_takes_the_firmwares_setpoint_of_every_control_step(robot: SimulatedRobot) -> None:
    robot.reset(SEEDS[0])
    start = robot.arm.setpoint
    heard: list[np.ndarray] = []
    apply = robot.arm.apply
    robot.arm.apply = lambda setpoint: (heard.append(setpoint.copy()), apply(setpoint))[1]  # type: ignore[method-assign,func-returns-value]
    try:
        robot.execute(chunk_of(robot, np.array([0.4, -0.2, 0.1, -1.0])))
    finally:
        robot.arm.apply = apply  # type: ignore[method-assign]
    assert len(heard) == 5
    for step, setpoint in enumerate(heard, 1):
        expected = start + step / 5 * np.array([0.02, -0.01, 0.005])
        np.testing.assert_allclose(setpoint[:3], expected, atol=2e-6)  # the wire counts micrometres
        assert setpoint[3] == -1.0
    np.testing.assert_allclose(robot.arm.setpoint, heard[-1][:3], atol=1e-9)


def test_an_episode_is_the_same_every_time(robot: SimulatedRobot) -> None:
    def drive() -> np.ndarray:
        robot.reset(SEEDS[1])
        states = []
        for _ in range(4):
            states.append(robot.observe().state)
            robot.execute(chunk_of(robot, robot.arm.expert()))
        return np.array(states)

    np.testing.assert_array_equal(drive(), drive())


def test_deltas_at_the_edge_stay_inside_the_limits(robot: SimulatedRobot) -> None:
    robot.reset(SEEDS[0])
    for _ in range(12):
        robot.execute(chunk_of(robot, np.array([0.0, 0.0, 1.0, 1.0])))
    assert robot.arm.setpoint[2] == pytest.approx(robot.arm.limits[2, 1], abs=1e-6)
    assert robot.counters()["rejected_chunks"] == 0


def test_a_chunk_that_outlasts_the_link_timeout_runs_whole_in_lockstep(robot: SimulatedRobot) -> None:
    robot.reset(SEEDS[0])
    first = robot.counters()["ticks"]
    steps = LINK_TIMEOUT_TICKS // 25 + 4
    chunk = chunk_of(robot, np.array([0.02, 0.02, 0.0, -1.0]))
    robot.execute(replace(chunk, values=np.repeat(chunk.values, steps, axis=0)))
    assert robot.counters()["ticks"] - first == 25 * steps


def test_the_robot_sees_what_the_contract_names(robot: SimulatedRobot) -> None:
    robot.reset(SEEDS[0])
    observation = robot.observe()
    assert observation.images["corner2"].shape == (128, 128, 3)
    assert observation.state.shape == (4,)
    assert robot.instruction == "open the drawer"
    assert robot.sub_instruction().startswith("subtask reach")


def refusal(contract: Contract, task: str = TASK) -> str:
    with pytest.raises(hyt.InputError) as caught:
        SimulatedRobot(task, contract)
    return str(caught.value)


def test_a_policy_for_other_axes_is_refused_at_connect() -> None:
    assert refusal(arm_contract(unit="mm")) == (
        "robot 'sim:metaworld/drawer-open-v3': firmware axes; expected the policy's [x in mm, y in m, z in m, gripper "
        "in 1]; received [x in m, y in m, z in m, gripper in 1]"
    )


def test_a_policy_for_another_camera_is_refused_at_connect() -> None:
    assert refusal(checkpoints.make_contract(ARM)) == (
        "camera 'corner2': unknown to this policy; expected cameras ['camera0']; received ['corner2']"
    )


def test_a_firmware_of_another_tick_rate_is_refused_at_connect() -> None:
    with closing(MetaWorldArm(TASK)) as arm:
        arm.reset(0)
        config = replace(arm_firmware(arm.limits, np.append(arm.setpoint, 0.0)), tick_hz=1000)
    with (
        FirmwareProcess(config, lockstep=False) as firmware,
        pytest.raises(hyt.InputError, match="tick rate; expected 400 Hz, one tick a physics step; received 1000 Hz"),
    ):
        SimulatedRobot(TASK, arm_contract(), port=firmware.port)


def test_an_unknown_task_is_refused() -> None:
    assert refusal(arm_contract(), "fly-v3").startswith("task 'fly-v3'; expected one of drawer-open-v3, ")


def test_a_missing_port_is_a_link_error(tmp_path: Path) -> None:
    with pytest.raises(hyt.LinkError) as caught:
        SimulatedRobot(TASK, arm_contract(), port=str(tmp_path / "ttyNone"))
    assert caught.value.exit_code == 6


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy whose chunks last 600 ticks, three times the link timeout, and always move."""
    return write_arm_bundle(tmp_path_factory.mktemp("arm"), steps=24, reach=0.005)


def real_time_config() -> FirmwareConfig:
    with closing(MetaWorldArm(TASK)) as arm:
        arm.reset(0)
        return arm_firmware(arm.limits, np.append(arm.setpoint, 0.0))


def drive_on(bundle: Path, port: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hyt.runtime.cli", "drive", str(bundle), "--robot", f"sim:metaworld/{TASK}"]
    command += ["--episodes", "50", "--threads", "1", "--port", port]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def read_trace(path: Path) -> np.ndarray:
    """The trace as int64 (ticks, columns): tick, state, trip, enabled, silence, setpoints in micro-units."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    complete = [row for row in rows[1:] if len(row) == len(rows[0])]
    return np.array(complete, dtype=np.int64)


def wait_for_motion(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the setpoints of the last twenty ticks moved."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        if path.exists() and len(trace := read_trace(path)) > 20 and np.ptp(trace[-20:, 5]) > 0:
            return
        time.sleep(0.02)
    raise AssertionError("the arm never moved")


def test_after_kill_9_in_mid_motion_the_firmware_stops_in_its_configured_ticks(bundle: Path, tmp_path: Path) -> None:
    trace_path = tmp_path / "trace.csv"
    with FirmwareProcess(real_time_config(), lockstep=False, trace=trace_path) as firmware:
        process = drive_on(bundle, firmware.port)
        try:
            wait_for_motion(trace_path, process)
        finally:
            process.kill()
            process.wait()
        time.sleep(2.0)  # far longer than any timeout
        with Link(firmware.port) as link:
            found = link.telemetry()
            assert found.state is State.STOPPED
            assert found.trip is Trip.LINK_SILENCE
            link.arm()  # a new session may
            assert link.telemetry().state is State.ARMED
            link.disarm()
    trace = read_trace(trace_path)
    trip = int(np.flatnonzero(trace[:, 1] == State.STOPPED)[0])
    armed = int(np.flatnonzero(trace[:, 1] == State.ARMED)[0])
    assert trace[trip, 4] == LINK_TIMEOUT_TICKS  # ticks since the last good frame
    assert trace[armed:trip, 4].max() == LINK_TIMEOUT_TICKS - 1
    assert (np.diff(trace[trip - 20 : trip, 5]) != 0).all()  # it moved until then
    stopped = trace[trip : trip + 500]
    assert (stopped[:, 1] == State.STOPPED).all()
    assert (np.ptp(stopped[:, 5:], axis=0) == 0).all()


def test_an_interrupt_disarms_the_firmware_and_exits_130(bundle: Path, tmp_path: Path) -> None:
    trace_path = tmp_path / "trace.csv"
    with FirmwareProcess(real_time_config(), lockstep=False, trace=trace_path) as firmware:
        process = drive_on(bundle, firmware.port)
        try:
            wait_for_motion(trace_path, process)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 130
        assert errors.decode().splitlines()[-1] == "hyt-run: interrupted"
        with Link(firmware.port) as link:
            assert link.telemetry().trip is Trip.NONE
    states = read_trace(trace_path)[:, 1]
    assert State.STOPPED not in states
    assert states[-1] == State.DISARMED


def test_control_c_in_a_terminal_leaves_the_own_firmware_to_be_disarmed(bundle: Path) -> None:
    command = [sys.executable, "-m", "hyt.runtime.cli", "drive", str(bundle), "--robot", f"sim:metaworld/{TASK}"]
    process = subprocess.Popen(
        [*command, "--episodes", "1000", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()  # the first episode has ended: the robot is at work
    os.killpg(process.pid, signal.SIGINT)  # the terminal's signal reaches hyt-run and its firmware
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.decode().splitlines()[-1] == "hyt-run: interrupted"
