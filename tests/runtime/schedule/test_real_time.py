"""The loop in real time, on a firmware that really runs: seams, lateness, stops and faults.

Nothing here depends on how fast this machine is: only order, counts and what the firmware put out are compared.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeBackend, fake_policy, tiny_observation
from rigs import Log, check_motion, read_trace, rigged

import hyt
from hyt.errors import HytError, InputError, LinkError, StoppedError
from hyt.firmware_bridge import FirmwareConfig, State, Trip
from hyt.runtime.backends.base import Decoded
from hyt.runtime.controls import Controls
from hyt.runtime.listener import Decision, EpisodeResult, Listener
from hyt.runtime.loop import run_episode
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy
from hyt.runtime.schedule import Schedule, Thinking
from hyt.runtime.schedule.rig import Rig

CHUNK_TICKS = 100  # two steps of 62.5 ms at 800 Hz


def drive(policy: Policy, rig: Rig, *listeners: Listener, decisions: int = 12, **more: object) -> EpisodeResult:
    return run_episode(
        policy,
        rig,
        instruction="open the drawer",
        max_decisions=decisions,
        listeners=listeners,
        **more,  # type: ignore[arg-type]
    )


def starts(log: Log) -> np.ndarray:
    return np.array([decision.start_tick for decision in log.decisions])


def test_each_chunk_starts_where_the_last_one_ends_or_is_late(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    log = Log()
    with rigged(policy.contract, tmp_path / "trace.csv") as rig:
        result = drive(policy, rig, log)
        counters = rig.counters()
    gaps = np.diff(starts(log)) - CHUNK_TICKS
    late = np.array([decision.outcome.late for decision in log.decisions])
    assert (gaps >= 0).all()
    np.testing.assert_array_equal(gaps > 0, late[1:])
    assert result.decisions == counters["chunks_accepted"] == 12
    assert result.late_chunks == late.sum()
    assert counters["chunks_flushed"] == 0
    for decision in log.decisions:
        assert decision.margin is not None
        assert decision.due <= decision.began
        assert decision.tick <= decision.start_tick
    trace = read_trace(tmp_path / "trace.csv")
    check_motion(trace, 800)
    assert set(trace["trip"]) == {Trip.NONE}
    assert np.ptp(trace["setpoints"], axis=0).min() > 0.1  # it did move, all the time


def test_a_shorter_period_sends_the_first_steps_of_each_chunk_and_blends_the_rest(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    log = Log()
    with rigged(policy.contract, tmp_path / "trace.csv") as rig:
        drive(policy, rig, log, schedule=Schedule(period=0.0625, blend=1))
        counters = rig.counters()
    assert (np.diff(starts(log)) >= CHUNK_TICKS / 2).all()
    assert counters["chunks_accepted"] == 12
    check_motion(read_trace(tmp_path / "trace.csv"), 800)


def test_a_run_goes_on_where_the_firmwares_ticks_wrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, _ = fake_policy(tmp_path)
    log = Log()
    monkeypatch.setattr("hyt.runtime.schedule.rig.FirmwareConfig", partial(FirmwareConfig, start_tick=2**32 - 1200))
    with rigged(policy.contract, tmp_path / "trace.csv") as rig:
        drive(policy, rig, log, decisions=16)
        counters = rig.counters()
    assert starts(log)[0] > 2**31 > starts(log)[-1]
    gaps = np.diff(starts(log)) % 2**32
    assert ((gaps >= CHUNK_TICKS) & (gaps < 100 * CHUNK_TICKS)).all()
    assert counters["chunks_accepted"] == 16
    check_motion(read_trace(tmp_path / "trace.csv"), 800)


class Slow(Listener):
    """Holds the loop up for most of a second, once."""

    def decided(self, decision: Decision) -> None:
        if decision.index == 4:
            time.sleep(0.6)


def test_a_turn_that_is_held_up_is_late_and_nothing_hurries_after_it(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    log = Log()
    with rigged(policy.contract, tmp_path / "trace.csv") as rig:
        drive(policy, rig, log, Slow(), decisions=10)
        counters = rig.counters()
    gaps = np.diff(starts(log))
    assert log.decisions[4].outcome.late
    assert gaps[3] >= 0.4 * 800
    assert (gaps >= CHUNK_TICKS).all()  # none is shorter, to make up for it
    assert counters["chunks_accepted"] == 10
    trace = read_trace(tmp_path / "trace.csv")
    check_motion(trace, 800)
    still = np.abs(np.diff(trace["setpoints"], axis=0)).max(axis=1) == 0
    first, last = starts(log)[3] + CHUNK_TICKS, starts(log)[4]
    held = still[(trace["tick"][:-1] > last - 100) & (trace["tick"][:-1] < last)]
    assert last - first > 200
    assert held.all()  # while nothing comes the axes rest where they are; they do not go to zero


def test_thoughts_are_written_in_the_slack(tiny_bundle: Path, tmp_path: Path) -> None:
    log = Log()
    with (
        hyt.load(tiny_bundle, threads=1) as policy,
        rigged(policy.contract, tmp_path / "trace.csv") as rig,
    ):
        result = drive(policy, rig, log, schedule=Schedule(thinking=Thinking("every", every=2)))
        thoughts = [thought for thought in log.thoughts if thought.state == "finished"]
        assert result.finished_thoughts == len(thoughts) >= 3
        seen = {decision.index: decision.observation for decision in log.decisions}
        for thought in thoughts:
            alone = policy.think(seen[thought.decision], until=float("inf"))
            assert thought.ids.tolist() == alone.tokens.tolist()


def test_a_stop_from_another_thread_stops_the_firmware_in_the_middle_of_a_chunk(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    controls, log = Controls(), Log()
    with rigged(policy.contract, tmp_path / "trace.csv") as rig:
        timer = threading.Timer(0.5, controls.stop)
        timer.start()
        with pytest.raises(StoppedError), controls.driving(rig):
            drive(policy, rig, log, decisions=10_000, controls=controls)
        assert final_state(rig) == (State.STOPPED, Trip.STOP_FRAME)
    trace = read_trace(tmp_path / "trace.csv")
    check_motion(trace, 800)


class Failing(FakeBackend):
    """A model that breaks after a few answers."""

    left = 8

    def act(self, tag: int) -> Decoded:
        self.left -= 1
        if self.left < 0:
            raise HytError("core: action", expected="finite values", received="NaN or infinity")
        return super().act(tag)


def final_state(rig: Rig) -> tuple[State, Trip]:
    telemetry = rig._link.telemetry()
    deadline = time.monotonic() + 5
    while telemetry.state is State.STOPPING and time.monotonic() < deadline:
        telemetry = rig._link.telemetry()
    return telemetry.state, telemetry.trip


def test_a_model_that_fails_leaves_the_arm_disarmed_and_at_rest(tmp_path: Path) -> None:
    whole, backend = fake_policy(tmp_path)
    policy = Policy(whole.bundle, Failing(backend.contract, backend.thought))
    log = Log()
    with rigged(policy.contract, tmp_path / "trace.csv") as rig:
        with pytest.raises(HytError, match="core: action; expected finite values"):
            drive(policy, rig, log)
        assert final_state(rig) == (State.DISARMED, Trip.NONE)
    assert 0 < len(log.decisions) < 12
    check_motion(read_trace(tmp_path / "trace.csv"), 800)


class Blind(Rig):
    """A rig whose state is not a number after a few looks."""

    def observe(self) -> Observation:
        seen = super().observe()
        return seen if self._shown < 8 else Observation(dict(seen.images), [np.nan] * 4)


def test_a_state_that_is_no_number_leaves_the_arm_disarmed(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    rig = Blind(policy.contract, [tiny_observation()])
    try:
        with pytest.raises(InputError, match="state"):
            drive(policy, rig)
        assert final_state(rig) == (State.DISARMED, Trip.NONE)
    finally:
        rig.close()


def test_a_firmware_that_is_gone_ends_the_run(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    rig = Rig(policy.contract, [tiny_observation()])

    class Unplug(Listener):
        def decided(self, decision: Decision) -> None:
            if decision.index == 3:
                rig._firmware.close()

    with pytest.raises(LinkError):
        drive(policy, rig, Unplug())
    rig._link.close()
