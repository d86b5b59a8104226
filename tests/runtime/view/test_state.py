"""Tests of hyt.runtime.view.state: each report of the loop makes another snapshot, and none that was read changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeRobot, fake_policy

from hyt.runtime.listener import Decision, EpisodeResult, LimiterState, ThoughtProgress
from hyt.runtime.loop import run_episode
from hyt.runtime.view.state import KEPT_PERIODS, RunState


def progress(number: int, seconds: float, text: str = "plan", state: str = "writing") -> ThoughtProgress:
    return ThoughtProgress(number, 1, 25, 0.0, text, 1, seconds, state)  # type: ignore[arg-type]


def driven(folder: Path, decisions: int = 3, modality: str = "act", late: frozenset[int] = frozenset()) -> RunState:
    policy, _ = fake_policy(folder)
    state, robot = RunState(), FakeRobot(decisions=decisions, late=late)
    state.robot_opened("fake", modality=modality, episodes=1, counters=robot.counters)
    run_episode(
        policy,
        robot,
        instruction="open the drawer",
        modality=modality,  # type: ignore[arg-type]
        max_decisions=1000,
        listeners=[state],
    )
    return state


def test_the_timeline_holds_a_period_a_decision_with_its_length_and_whether_it_was_late(tmp_path: Path) -> None:
    now = driven(tmp_path, late=frozenset({2})).now
    assert [period.number for period in now.periods] == [1, 2, 3]
    assert [period.late for period in now.periods] == [False, True, False]
    assert [period.length is None for period in now.periods] == [False, False, True]
    assert now.late == 1
    assert now.periods[0].values == pytest.approx((-0.46875,) * 4)
    assert (now.ended, now.solved) == (1, 1)


def test_thinking_before_the_action_and_beside_it_are_told_apart(tmp_path: Path) -> None:
    state = driven(tmp_path, modality="think")
    assert all(period.before == pytest.approx(0.002) and period.beside == 0 for period in state.now.periods)
    state.thought(progress(9, 0.010))
    state.thought(progress(9, 0.015))
    state.thought(progress(10, 0.001))
    assert state.now.periods[-1].beside == pytest.approx(0.016)


def test_a_thought_before_the_action_is_a_finished_one_and_each_has_its_number(tmp_path: Path) -> None:
    thought = driven(tmp_path, modality="think").now.thought
    assert thought is not None
    assert (thought.number, thought.text, thought.state, thought.tokens) == (3, "PLAN reach lower", "finished", 3)


def test_a_snapshot_never_changes_and_every_report_makes_a_newer_one(tmp_path: Path) -> None:
    state = driven(tmp_path)
    versions, first = [state.now.version], state.now
    for report in (
        lambda: state.limited(LimiterState(1, 2, "")),
        lambda: state.thought(progress(1, 0.1)),
        lambda: state.decided(decision_of(state)),
        lambda: state.episode_started(1, "close the drawer"),
        lambda: state.episode_ended(EpisodeResult(1, False, 0, 0, 0.0, {})),
        lambda: state.over("done"),
    ):
        report()
        versions.append(state.now.version)
    assert versions == sorted(set(versions))
    assert (first.thought, len(first.periods), first.episode, first.over) == (None, 3, 1, "")


def test_the_timeline_is_bounded_and_counts_through_episodes_and_robots(tmp_path: Path) -> None:
    state = driven(tmp_path, decisions=KEPT_PERIODS + 60)
    assert len(state.now.periods) == KEPT_PERIODS
    assert state.now.periods[-1].number == KEPT_PERIODS + 60
    decision = decision_of(state)
    state.robot_opened("other", modality="act", episodes=1, counters=dict)
    state.episode_started(0, "close the drawer")
    assert state.now.decision is None
    state.decided(decision)
    assert (state.now.periods[-1].number, state.now.periods[-1].episode) == (KEPT_PERIODS + 61, 2)
    assert state.now.episode == 1


def decision_of(state: RunState) -> Decision:
    assert state.now.decision is not None
    return state.now.decision
