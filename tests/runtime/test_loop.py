"""Tests of hyt.runtime.loop with a fake policy and robot."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeRobot, fake_policy

import hyt
from hyt.runtime.loop import Decision, EpisodeResult, Listener, run_episode


class Diary(Listener):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.texts: list[str] = []

    def episode_started(self, seed: int, instruction: str) -> None:
        self.lines.append(f"{seed}: {instruction}")

    def decided(self, decision: Decision) -> None:
        self.lines.append(f"decision {decision.index}")
        self.texts.append(decision.text)

    def episode_ended(self, result: EpisodeResult) -> None:
        self.lines.append(f"success {result.success}")


def run(folder: Path, robot: FakeRobot, **options: object) -> tuple[EpisodeResult, Diary, list[str]]:
    policy, backend = fake_policy(folder)
    diary = Diary()
    result = run_episode(policy, robot, instruction="open the drawer", seed=7, listeners=[diary], **options)  # type: ignore[arg-type]
    return result, diary, backend.calls


def test_an_episode_ends_when_the_robot_says_so(tmp_path: Path) -> None:
    robot = FakeRobot(decisions=3, late=frozenset({2}))
    result, diary, _ = run(tmp_path, robot)
    assert (result.seed, result.success, result.decisions, result.late_chunks) == (7, True, 3, 1)
    assert robot.seeds == [7]
    assert diary.lines == ["7: open the drawer", "decision 1", "decision 2", "decision 3", "success True"]


def test_an_episode_ends_at_the_limit_of_decisions(tmp_path: Path) -> None:
    result, _, _ = run(tmp_path, FakeRobot(decisions=9), max_decisions=4)
    assert (result.success, result.decisions) == (False, 4)


def test_every_decision_has_a_latency_in_every_phase(tmp_path: Path) -> None:
    result, _, _ = run(tmp_path, FakeRobot(decisions=5))
    assert all(len(seconds) == 5 for seconds in result.latencies.values())
    assert result.latencies["vision"] == [0.004] * 5
    assert "thought" not in result.latencies


def test_thinking_shows_the_thought_of_each_decision(tmp_path: Path) -> None:
    result, diary, calls = run(tmp_path, FakeRobot(decisions=2), modality="think")
    assert diary.texts == ["PLAN reach lower"] * 2
    assert result.latencies["thought"] == [0.002] * 2
    assert calls.count("act_after_thought") == 2


def test_following_takes_the_onlookers_words(tmp_path: Path) -> None:
    _, diary, _ = run(tmp_path, FakeRobot(decisions=2, onlooker="SUBTASK reach"), modality="follow")
    assert diary.texts == ["SUBTASK reach"] * 2


def test_following_prefers_the_words_it_is_given(tmp_path: Path) -> None:
    robot = FakeRobot(decisions=1, onlooker="SUBTASK reach")
    _, diary, _ = run(tmp_path, robot, modality="follow", sub_instruction=lambda: "MOVE left")
    assert diary.texts == ["MOVE left"]


def test_following_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(hyt.InputError) as caught:
        run(tmp_path, FakeRobot(), modality="follow")
    assert str(caught.value) == "follow; expected a sub-instruction; received none; give one by --instruction"


def test_the_robot_does_not_move_for_an_instruction_that_is_refused(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    robot = FakeRobot()
    with pytest.raises(hyt.InputError, match="unknown 'fridge'"):
        run_episode(policy, robot, instruction="open the fridge")
    assert robot.seeds == []
