"""The loop on the simulated arm: in stepped time the episodes of ever, in real time too, and for a long time."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import write_arm_bundle

import hyt
from hyt.runtime.listener import Decision, EpisodeResult, Listener
from hyt.runtime.loop import Modality, run_episode
from hyt.runtime.schedule import Limits, Schedule, Thinking
from hyt.simulation.robot import TICK_HZ, SimulatedRobot

TASK = "drawer-open-v3"
SEED = 900_000


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hyt.Policy]:
    path = write_arm_bundle(tmp_path_factory.mktemp("arm"), steps=2, reach=0.02, gate_units=8)
    with hyt.load(path, threads=1) as policy:
        yield policy


@pytest.fixture(scope="module")
def robot(policy: hyt.Policy) -> Iterator[SimulatedRobot]:
    with closing(SimulatedRobot(TASK, policy.contract)) as robot:
        yield robot


class Log(Listener):
    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.result: EpisodeResult | None = None

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def episode_ended(self, result: EpisodeResult) -> None:
        self.result = result


def waiting(policy: hyt.Policy, robot: SimulatedRobot, modality: Modality, decisions: int) -> list[tuple[Any, ...]]:
    """The plainest loop: observe, ask, execute, and only then observe again; what each turn saw and did."""
    policy.reset(instruction="open the drawer")
    robot.reset(SEED)
    turns = []
    for _ in range(decisions):
        observation = robot.observe()
        if modality == "act":
            chunk = policy.act(observation)
        elif modality == "gate":
            chunk, _ = policy.decide(observation)
        elif modality == "follow":
            chunk = policy.follow(observation, "MOVE left")
        else:
            action = policy.think(observation).action
            assert action is not None
            chunk = action
        outcome = robot.execute(chunk)
        assert chunk.tokens is not None
        image = observation.images["corner2"]
        turns.append((image.tobytes(), observation.state.tolist(), chunk.tokens.tolist(), outcome.tick))
    return turns


@pytest.mark.parametrize("modality", ["act", "think", "follow", "gate"])
@pytest.mark.parametrize("thinking", [Thinking(), Thinking("every", every=2)])
def test_in_stepped_time_an_episode_is_bit_by_bit_that_of_a_loop_that_waits(
    policy: hyt.Policy, robot: SimulatedRobot, modality: Modality, thinking: Thinking
) -> None:
    expected = waiting(policy, robot, modality, 6)
    start = robot.tick()
    log = Log()
    run_episode(
        policy,
        robot,
        instruction="open the drawer",
        modality=modality,
        seed=SEED,
        max_decisions=6,
        sub_instruction=lambda _: "MOVE left",
        listeners=[log],
        schedule=Schedule(thinking=thinking),
    )
    turns = []
    for decision in log.decisions:
        seen, chunk = decision.observation, decision.chunk
        assert chunk.tokens is not None
        turns.append((seen.images["corner2"].tobytes(), seen.state.tolist(), chunk.tokens.tolist()))
    assert turns == [turn[:3] for turn in expected]
    ticks = np.array([decision.outcome.tick for decision in log.decisions])
    assert ticks[0] > start
    np.testing.assert_array_equal(np.diff(ticks), np.diff([turn[3] for turn in expected]))
    assert not any(decision.outcome.late for decision in log.decisions)


def test_conditioned_episodes_repeat_bit_by_bit_whatever_the_clock_says(
    policy: hyt.Policy, robot: SimulatedRobot
) -> None:
    limits = Limits(tokens_per_second=40, token_burst=5)
    schedule = Schedule(thinking=Thinking("every", every=3, limits=limits, condition=True, hold=2))
    runs = []
    for _ in range(2):
        log = Log()
        run_episode(
            policy,
            robot,
            instruction="open the drawer",
            seed=SEED,
            max_decisions=12,
            listeners=[log],
            schedule=schedule,
        )
        runs.append([(d.condition, d.text, d.chunk.values.tolist()) for d in log.decisions])
    assert runs[0] == runs[1]
    assert {condition for condition, _, _ in runs[0]} == {"none", "thought"}


def test_in_real_time_the_arm_moves_while_the_policy_computes(policy: hyt.Policy) -> None:
    log = Log()
    with closing(SimulatedRobot(TASK, policy.contract, real_time=True)) as robot:
        robot.reset(SEED)
        before = robot.arm.hand
        run_episode(
            policy,
            robot,
            instruction="open the drawer",
            seed=SEED,
            max_decisions=12,
            listeners=[log],
            schedule=Schedule(period=0.0625, thinking=Thinking("every", every=2)),
        )
        counters = robot.counters()
        steps, hand = robot.arm.control_steps, robot.arm.hand
    starts = np.array([decision.start_tick for decision in log.decisions])
    assert (np.diff(starts) >= 25).all()
    assert counters["chunks"] == 12 + 2  # and the ways to the start of two episodes
    assert counters["rejected_frames"] == 0
    # Physics goes with the firmware's clock: as many control steps as ticks have passed, but for the last few.
    assert steps * 5 >= starts[-1] - starts[0] - 25
    assert np.linalg.norm(hand - before) > 0.005


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def soak(policy: hyt.Policy, robot: SimulatedRobot, periods: int) -> list[int]:
    """Drive for so many periods and check every one; returns the resident bytes after each hundred decisions."""
    resident = []
    schedule = Schedule(
        period=0.0625,
        blend=1,
        thinking=Thinking("every", every=7, limits=Limits(tokens_per_second=100), condition=True, hold=3),
    )
    first = dict(robot._link.telemetry().counters)
    homes = done = 0
    while done < periods:
        log = Log()
        result = run_episode(
            policy,
            robot,
            instruction="open the drawer",
            seed=SEED + homes,
            max_decisions=min(100, periods - done),
            listeners=[log],
            schedule=schedule,
        )
        homes += 1
        done += result.decisions
        assert result.late_chunks == 0
        starts = np.array([decision.start_tick for decision in log.decisions])
        np.testing.assert_array_equal(np.diff(starts), 25)
        telemetry = robot._link.telemetry()
        assert telemetry.tick == robot.tick() % 2**32  # host and firmware count alike
        counted = {name: telemetry.counters[name] - first[name] for name in first}
        assert counted["chunks_accepted"] == done + homes
        assert counted["chunks_rejected"] == counted["chunks_flushed"] == counted["lost_ticks"] == 0
        # What was accepted was also executed: the axes stand where the last chunk ends.
        np.testing.assert_allclose(telemetry.setpoints, robot._sender.commanded, atol=2e-6)
        del log
        gc.collect()
        resident.append(resident_bytes())
    return resident


def check_memory(resident: list[int], most: int) -> None:
    """No growth once all has been warm: the second half is no larger than the first, but for `most` bytes."""
    half = len(resident) // 2
    assert np.median(resident[half:]) - np.median(resident[1 : half + 1]) <= most


def test_a_thousand_periods_lose_no_chunk_no_tick_and_no_memory(policy: hyt.Policy, robot: SimulatedRobot) -> None:
    check_memory(soak(policy, robot, 1000), 4 << 20)


@pytest.mark.slow  # ten thousand periods take minutes: each is rendered and simulated
def test_ten_thousand_periods_lose_no_chunk_no_tick_and_no_memory(policy: hyt.Policy, robot: SimulatedRobot) -> None:
    check_memory(soak(policy, robot, 10_000), 4 << 20)


def test_the_robots_ticks_are_seconds_of_its_own_time(robot: SimulatedRobot) -> None:
    assert (robot.tick_hz, robot.step_ticks / robot.tick_hz) == (TICK_HZ, 0.0625)
