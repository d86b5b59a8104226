"""The firmware on emulated microcontrollers: it does what the host program does, tick for tick, and it can be reset."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hyt.errors import InputError
from hyt.firmware_bridge import (
    AxisConfig,
    ChunkRejected,
    FirmwareConfig,
    FirmwareProcess,
    Link,
    LinkError,
    QemuFirmware,
    State,
    Trip,
)

LIMITED = [
    AxisConfig("a", "m", -1, 1, 0.8, 6.0, "linear"),
    AxisConfig("b", "m", -1, 1, 0.0, 9.0, "cubic"),
    AxisConfig("c", "m", -1, 1, 1.5, 0.0, "hold"),
]


@pytest.fixture
def image(build: Path) -> Path:
    return build / "hyt-firmware-qemu.elf"


def drive(firmware: FirmwareProcess) -> np.ndarray:
    """The setpoints of every tick of a session with seams, pauses, a rejected chunk and a STOP."""
    random = np.random.default_rng(3)
    rows = []
    with firmware, Link(firmware.port) as link:
        link.arm()
        tick = link.telemetry().tick
        for _ in range(12):
            steps, step_ticks, pause = (int(random.integers(low, high)) for low, high in ((1, 5), (1, 40), (0, 6)))
            link.send_chunk(tick + pause, step_ticks, random.uniform(-1, 1, (steps, 3)))
            rows.append(firmware.advance(pause + steps * step_ticks))
            tick += len(rows[-1])
        link.send_chunk(tick, 200, [[1, -1, 0]])
        rows.append(firmware.advance(50))
        link.stop()
        rows.append(firmware.advance(100))
    return np.vstack(rows)


def test_the_emulated_firmware_puts_out_what_the_host_program_does(program: Path, image: Path) -> None:
    config = FirmwareConfig(
        LIMITED, tick_hz=400, link_timeout_ticks=1000, stop_action="decelerate", start_tick=2**32 - 99
    )
    here = drive(FirmwareProcess(config, lockstep=True, program=program))
    there = drive(QemuFirmware(config, lockstep=True, program=image))
    assert np.ptp(here, axis=0).min() > 0.3
    np.testing.assert_array_equal(here, there)


def test_a_reset_in_mid_chunk_ends_the_session_and_nothing_moves_until_a_new_one_arms(image: Path) -> None:
    config = FirmwareConfig(LIMITED, tick_hz=400, link_timeout_ticks=1000)
    with QemuFirmware(config, lockstep=True, program=image) as firmware:
        with Link(firmware.port) as link:
            link.arm()
            link.send_chunk(0, 200, [[0.5, 0.5, 0.5]])
            assert firmware.advance(100)[-1].any()
            firmware.reset()
            with pytest.raises(LinkError, match=r"reset|another host"):
                link.send_chunk(100, 200, [[0.5, 0.5, 0.5]])
            assert not firmware.advance(200).any()
        with Link(firmware.port) as link:
            found = link.telemetry()
            assert (found.state, found.trip, found.enabled) == (State.DISARMED, Trip.NONE, False)


def test_a_bad_configuration_and_a_missing_image_are_one_line(image: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^firmware configuration; received hyt-firmware: x: an axis needs LOW"):
        QemuFirmware(FirmwareConfig([AxisConfig("x", "m", 1, -1, 0, 0)]), lockstep=True, program=image)
    with pytest.raises((InputError, LinkError)) as caught:
        QemuFirmware(FirmwareConfig(LIMITED), lockstep=True, program=tmp_path / "none.elf")
    assert "\n" not in str(caught.value)


def test_a_host_that_fills_the_window_with_the_largest_chunks_is_answered_without_a_lost_byte(image: Path) -> None:
    config = FirmwareConfig(LIMITED, tick_hz=400, link_timeout_ticks=4000)
    with QemuFirmware(config, lockstep=False, program=image) as firmware, Link(firmware.port, timeout=20.0) as link:
        points = np.zeros((link.info.max_points // 3, 3))

        def refused(_: int) -> str:
            with pytest.raises(ChunkRejected) as caught:
                link.send_chunk(0, 1, points)
            return caught.value.reason

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(refused, range(12))) == {"NOT_ARMED"}
        counters = link.telemetry().counters
        assert counters["bad_crc"] + counters["bad_framing"] + counters["receive_errors"] == 0


def test_in_real_time_a_frozen_microcontroller_trips_when_it_goes_on(image: Path) -> None:
    config = FirmwareConfig(LIMITED, tick_hz=400, link_timeout_ticks=4000, stall_limit_ticks=100)
    with QemuFirmware(config, lockstep=False, program=image) as firmware, Link(firmware.port) as link:
        link.arm()
        os.kill(firmware.pid, signal.SIGSTOP)
        time.sleep(0.6)  # 240 ticks
        os.kill(firmware.pid, signal.SIGCONT)
        deadline = time.monotonic() + 20
        while (telemetry := link.telemetry()).state is State.ARMED:
            assert time.monotonic() < deadline
        assert (telemetry.state, telemetry.trip) == (State.STOPPED, Trip.TICK_STALL)
        assert telemetry.counters["lost_ticks"] > 100


def test_the_stm32f4_image_boots_ticks_and_speaks_the_protocol(build: Path) -> None:
    """On an emulated STM32F405, which has no clock to configure, so that the image runs on its inner oscillator."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = ["qemu-system-arm", "-M", "netduinoplus2", "-display", "none", "-monitor", "none", "-serial", "null"]
        command += ["-chardev", f"socket,id=link,fd={server.fileno()},server=on,wait=off", "-serial", "chardev:link"]
        command += ["-kernel", str(build / "hyt-firmware-stm32f4.elf")]
        port = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        process = subprocess.Popen(command, pass_fds=[server.fileno()], stderr=subprocess.DEVNULL)
    try:
        with Link(port) as link:
            assert (link.info.port, len(link.info.axes), link.info.tick_hz) == ("stm32f4", 4, 1000)
            first = link.telemetry().tick
            time.sleep(0.05)
            assert link.telemetry().tick > first
            stopped = link.stop()
        assert (stopped.state, stopped.trip, stopped.counters["receive_errors"]) == (State.STOPPED, Trip.STOP_FRAME, 0)
    finally:
        process.terminate()
        process.wait()
