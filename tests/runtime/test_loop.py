"""Tests of hyt.runtime.loop with a fake policy and robot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from checkpoints import ACT, make_tokenizer
from fakes import FakeRobot, fake_policy

import hyt
from hyt.runtime.listener import Decision, EpisodeResult, Listener
from hyt.runtime.loop import Modality, run_episode


class Diary(Listener):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.texts: list[str] = []
        self.ids: list[list[int] | None] = []

    def episode_started(self, seed: int, instruction: str) -> None:
        self.lines.append(f"{seed}: {instruction}")

    def decided(self, decision: Decision) -> None:
        self.lines.append(f"decision {decision.index}")
        self.texts.append(decision.text)
        self.ids.append(None if decision.thought_ids is None else decision.thought_ids.tolist())

    def episode_ended(self, result: EpisodeResult) -> None:
        self.lines.append(f"success {result.success}")


def run(
    folder: Path, robot: FakeRobot, think_probabilities: Sequence[float] = (), **options: object
) -> tuple[EpisodeResult, Diary, list[str]]:
    policy, backend = fake_policy(folder, think_probabilities)
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


def test_with_a_gate_it_thinks_at_some_decisions_and_counts_them(tmp_path: Path) -> None:
    result, diary, calls = run(tmp_path, FakeRobot(decisions=4), [0.1, 0.7, 0.4, 0.9], modality="gate")
    assert diary.texts == ["", "PLAN reach lower", "", "PLAN reach lower"]
    written = make_tokenizer().encode("PLAN reach lower", add_special_tokens=False).ids
    assert diary.ids == [None, written, None, written]
    assert result.thoughts == 2
    assert result.latencies["thought"] == [0.0, 0.002, 0.0, 0.002]
    assert calls.count(f"act {ACT}") == 4
    assert calls.count("observe 1") == 4


@pytest.mark.parametrize(("threshold", "same"), [(0.0, "think"), (1.0, "act")])
def test_a_threshold_of_0_is_always_thinking_and_1_is_never(
    gated_bundle: Path, threshold: float, same: Modality
) -> None:
    with hyt.load(gated_bundle, threads=1) as policy:

        def episode(modality: Modality) -> tuple[list[list[int]], int]:
            robot = FakeRobot(decisions=8)
            options = {"modality": modality, "gate_threshold": threshold}
            result = run_episode(policy, robot, instruction="open the drawer", **options)  # type: ignore[arg-type]
            return [chunk.tokens.tolist() for chunk in robot.chunks], result.thoughts

        assert episode("gate") == episode(same)


def test_every_decision_of_think_and_none_of_act_counts_as_thought_about(tmp_path: Path) -> None:
    assert run(tmp_path, FakeRobot(decisions=3), modality="think")[0].thoughts == 3
    assert run(tmp_path, FakeRobot(decisions=3), modality="act")[0].thoughts == 0


def test_following_takes_the_onlookers_words(tmp_path: Path) -> None:
    _, diary, _ = run(tmp_path, FakeRobot(decisions=2, onlooker="SUBTASK reach"), modality="follow")
    assert diary.texts == ["SUBTASK reach"] * 2


def test_following_prefers_the_words_it_is_given(tmp_path: Path) -> None:
    robot = FakeRobot(decisions=1, onlooker="SUBTASK reach")
    _, diary, _ = run(tmp_path, robot, modality="follow", sub_instruction=lambda _: "MOVE left")
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
