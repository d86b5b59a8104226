"""Link and firmware over a wire that misbehaves: each command once, in order, or reported as failed; a safe end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import proxy
import pytest
from ports import both
from proxy import FAULTS, SILENCE, Damage, Frames, Proxy, split_frames

from hyt.firmware_bridge import AxisConfig, ChunkRejected, FirmwareProcess, Link, LinkError, State
from hyt.firmware_bridge.codec import Frame, encode_frame

Start = Callable[..., FirmwareProcess]
LIMITS = [AxisConfig(name, "m", -1, 1, 2.0, 20.0, "cubic") for name in "xy"]


def test_the_same_seed_does_the_same_damage_and_no_damage_changes_nothing() -> None:
    stream = b"".join(encode_frame(Frame(kind, 1, 2, 3, 4, bytes(kind % 30))) for kind in range(16, 216))
    frames = [encode_frame(Frame(kind, 1, 2, 3, 4, bytes(kind % 30))) for kind in range(16, 216)]
    assert split_frames(stream) == frames
    assert Damage(1, 0.0).pieces(stream) == frames
    first, again, other = (Damage(seed, 0.5) for seed in (1, 1, 2))
    assert first.pieces(stream) == again.pieces(stream) != other.pieces(stream)
    assert set(first.done) == {*FAULTS, "none"}


def test_a_frame_that_comes_byte_by_byte_is_damaged_no_oftener_than_one_that_comes_whole() -> None:
    sent = [encode_frame(Frame(kind, 1, 2, 3, 4, bytes(kind % 30))) for kind in range(16, 216)]
    stream = b"".join(sent)
    for size in (1, 2, 7, 100, len(stream)):
        frames = Frames()
        came = [frame for at in range(0, len(stream), size) for frame in frames.feed(stream[at : at + size], 0.0)]
        assert came == sent
    frames = Frames()
    assert frames.feed(b"no frame", 1.0) == []
    assert frames.feed(b"", 1.0 + SILENCE / 2) == []
    assert frames.feed(b"", 1.0 + SILENCE) == [b"no frame"]
    assert frames.feed(b"", 2.0) == []


def test_by_hand_it_names_its_port_and_says_at_the_end_what_it_did(start: Start) -> None:
    firmware = start(lockstep=False, stall_limit_ticks=4000)
    command = [sys.executable, proxy.__file__, firmware.port, "--damage", "0.5", "--faults", "lose", "--seed", "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        near = process.stdout.readline().strip()
        with Link(near, timeout=20.0) as link:
            link.telemetry()
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
    assert process.returncode == 0
    assert re.search(r"to the firmware: \{.*'lose': \d", said)


@both
def test_commands_are_executed_once_and_in_order_or_reported_on_a_wire_that_damages_a_fifth(start: Start) -> None:
    firmware = start(lockstep=False, axes=LIMITS, tick_hz=400, link_timeout_ticks=4000, stall_limit_ticks=4000)
    accepted = rejected = 0
    with Proxy(firmware.port, seed=5, damage=0.2) as wire, Link(wire.near, timeout=20.0) as link:
        link.arm()
        end = (link.telemetry().tick + 400) % 2**32
        for index in range(25):
            try:
                link.send_chunk(end, 20, [[(-1) ** index * 0.01, 0.01 * (index % 7)]])
                accepted += 1
            except ChunkRejected:  # late, after a long time of bad luck; the queue was flushed
                rejected += 1
            end = max(end + 20, link.telemetry().tick + 200)
            while link.telemetry().credit == 0:
                pass
        counters = link.telemetry().counters
        assert (counters["chunks_accepted"], counters["chunks_rejected"]) == (accepted, rejected)
        assert accepted > 15
        assert counters["bad_crc"] + counters["bad_framing"] > 5
        assert wire.to_firmware.done["duplicate"] > 0
        assert link.statistics.resent > 0


@pytest.mark.parametrize("seed", range(3))
def test_however_bad_the_wire_the_arm_ends_at_rest_within_its_limits(start: Start, tmp_path: Path, seed: int) -> None:
    trace = tmp_path / "trace.csv"
    firmware = start(
        lockstep=False,
        trace=trace,
        axes=LIMITS,
        link_timeout_ticks=200,
        stall_limit_ticks=4000,
        stop_action="decelerate",
    )
    random = np.random.default_rng(seed)
    with Proxy(firmware.port, seed=seed, damage=0.5, delay=0.02) as wire:
        try:
            with Link(wire.near, timeout=2.0) as link:
                link.arm()
                for _ in range(10):
                    link.send_chunk(link.telemetry().tick + 60, 20, random.uniform(-1, 1, (3, 2)))
        except (LinkError, ChunkRejected):
            pass  # told in one line; what matters is the arm
    with Link(firmware.port) as link:
        came_to_rest = (telemetry := link.telemetry()).tick
        while telemetry.state not in (State.STOPPED, State.DISARMED) or telemetry.tick < came_to_rest + 25:
            if telemetry.state is State.STOPPING:
                came_to_rest = telemetry.tick
            assert telemetry.state is not State.ARMED
            telemetry = link.telemetry()
    firmware.close()
    rows = np.loadtxt(trace, delimiter=",", skiprows=1, dtype=np.int64)
    path = rows[:, 5:]
    steps = np.diff(path, axis=0)
    assert np.abs(path).max() <= 1_000_000
    assert np.abs(steps).max() <= 2_000_000 / 400 + 2
    assert np.abs(np.diff(steps, axis=0)).max() <= 20_000_000 / 400**2 + 3
    assert (steps[-20:] == 0).all()
