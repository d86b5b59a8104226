"""Tests of hyt.runtime.controls: what a user says reaches the loop, and a stop the firmware."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fakes import FakeRobot, fake_policy

from hyt.errors import InputError, LinkError, StoppedError
from hyt.runtime.controls import Controls
from hyt.runtime.listener import Decision, Listener
from hyt.runtime.loop import run_episode


class Saying(Listener):
    """Calls a function of the controls after the decisions that it names, and notes each decision's text."""

    def __init__(self, controls: Controls, says: dict[int, str]) -> None:
        self.controls, self.says = controls, says
        self.texts: list[tuple[str, str]] = []

    def decided(self, decision: Decision) -> None:
        self.texts.append((decision.condition, decision.text))
        if (word := self.says.get(decision.index)) is not None:
            {"back": self.controls.back, "stop": self.controls.stop}.get(word, lambda: self.controls.follow(word))()


def test_a_text_is_followed_from_the_next_decision_and_given_back_with_one_word(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    controls = Controls(policy.readable)
    saying = Saying(controls, {1: "reach lower", 3: "back"})
    run_episode(policy, FakeRobot(decisions=4), instruction="open the drawer", listeners=[saying], controls=controls)
    assert saying.texts == [("none", ""), ("text", "reach lower"), ("text", "reach lower"), ("none", "")]


def test_a_stop_reaches_the_robot_at_once_and_the_loop_sends_no_further_chunk(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    controls, robot = Controls(), FakeRobot(decisions=9)
    saying = Saying(controls, {2: "stop"})
    stopped = r"robot 'fake'; received a stop from the user; its firmware has stopped"
    with pytest.raises(StoppedError, match=stopped), controls.driving(robot):
        run_episode(policy, robot, instruction="open the drawer", listeners=[saying], controls=controls)
    assert len(robot.chunks) == 2
    assert robot.stops == 2  # at once, and again when the block ended


def test_a_stop_passes_a_loop_that_is_busy() -> None:
    controls, robot = Controls(), FakeRobot()

    def busy() -> None:
        thread = threading.Thread(target=controls.stop)
        thread.start()
        thread.join()
        assert robot.stops == 1

    with pytest.raises(StoppedError), controls.driving(robot):
        busy()


def test_after_a_stop_the_next_robot_is_stopped_and_never_driven() -> None:
    controls, robot = Controls(), FakeRobot()
    controls.stop()
    with pytest.raises(StoppedError), controls.driving(robot):
        robot.reset(0)
    assert (robot.stops, robot.seeds) == (1, [])


@pytest.mark.parametrize(("stopped", "ends_with"), [(False, "cable"), (True, "a stop from the user")])
def test_an_error_of_the_link_is_a_stop_only_where_one_was_asked_for(stopped: bool, ends_with: str) -> None:
    controls, robot = Controls(), FakeRobot()

    def drive() -> None:
        if stopped:
            controls.stop()
        raise LinkError("cable")

    with pytest.raises((LinkError, StoppedError), match=ends_with), controls.driving(robot):
        drive()


def test_a_text_that_the_policy_cannot_follow_is_refused_where_it_is_said(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    controls = Controls(policy.readable)
    for text, message in (("  ", "a blank text"), ("reach the refrigerator", "unknown 'refrigerator'")):
        with pytest.raises(InputError, match=message):
            controls.follow(text)
    assert controls.text is None


def test_a_policy_without_thoughts_is_asked_for_none() -> None:
    controls = Controls(thinks=False)
    with pytest.raises(InputError, match="think; expected a policy that was trained to think"):
        controls.think()
    assert not controls.take_think()
