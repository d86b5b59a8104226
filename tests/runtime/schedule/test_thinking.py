"""Thoughts beside the actions, in stepped time: when they begin, how far they go, what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from checkpoints import THINK
from fakes import FakeRobot, fake_policy, tiny_observation

import hyt
from hyt.runtime.controls import Controls
from hyt.runtime.listener import Decision, LimiterState, Listener, ThoughtProgress
from hyt.runtime.loop import run_episode
from hyt.runtime.schedule import Limits, Schedule, Thinking

PERIOD = 50 / 400  # seconds of FakeRobot's chunk of two steps


class Notes(Listener):
    """Writes down all that the loop tells."""

    def __init__(self, act: Callable[[Decision], None] = lambda decision: None) -> None:
        self.decisions: list[Decision] = []
        self.thoughts: list[ThoughtProgress] = []
        self.states: list[LimiterState] = []
        self._act = act

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)
        self._act(decision)

    def thought(self, progress: ThoughtProgress) -> None:
        self.thoughts.append(progress)

    def limited(self, state: LimiterState) -> None:
        self.states.append(state)

    def ended(self, state: str = "finished") -> list[int]:
        """Decisions whose observation the thoughts were about that ended so."""
        return [thought.decision for thought in self.thoughts if thought.state == state]


def drive(
    policy: hyt.Policy,
    thinking: Thinking,
    *,
    decisions: int = 8,
    controls: Controls | None = None,
    act: Callable[[Decision], None] = lambda decision: None,
) -> Notes:
    notes = Notes(act)
    run_episode(
        policy,
        FakeRobot(decisions=decisions + 1),
        instruction="open the drawer",
        max_decisions=decisions,
        listeners=[notes],
        controls=controls,
        schedule=Schedule(thinking=thinking),
    )
    return notes


@pytest.fixture(scope="module")
def policy(tiny_bundle: Path) -> Iterator[hyt.Policy]:
    with hyt.load(tiny_bundle, threads=1) as policy:
        yield policy


def test_a_thought_is_published_with_the_decision_it_came_from(policy: hyt.Policy) -> None:
    notes = drive(policy, Thinking("every", every=3))
    assert notes.ended() == [1, 4, 7]
    policy.reset(instruction="open the drawer")
    for thought in (thought for thought in notes.thoughts if thought.state == "finished"):
        decision = notes.decisions[thought.decision - 1]
        alone = policy.think(tiny_observation(thought.decision - 1), until=float("inf"))
        assert (thought.tick, thought.observed) == (decision.tick, decision.began)
        assert (thought.text, thought.ids.tolist()) == (alone.text, alone.tokens.tolist())
        assert thought.tokens == len(thought.ids)
    assert [thought.number for thought in notes.thoughts if thought.state == "finished"] == [1, 2, 3]


def test_a_thought_written_over_many_decisions_is_the_one_written_at_once(policy: hyt.Policy) -> None:
    # Two tokens a decision: the policy acts on newer observations in between.
    limits = Limits(tokens_per_second=2 / PERIOD, token_burst=2)
    controls = Controls()
    asked = Thinking(limits=limits)
    notes = drive(policy, asked, controls=controls, act=lambda d: controls.think() if d.index == 2 else None)
    policy.reset(instruction="open the drawer")
    alone = policy.think(tiny_observation(1), until=float("inf"))
    assert len(alone.tokens) > 6
    assert notes.ended() == [2]
    assert notes.thoughts[-1].ids.tolist() == alone.tokens.tolist()
    lengths = [thought.tokens for thought in notes.thoughts]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 3
    assert "tokens a second" in {state.waiting_for for state in notes.states}


def test_thinking_changes_no_action_that_is_not_conditioned_on_it(policy: hyt.Policy) -> None:
    limits = Limits(tokens_per_second=3 / PERIOD, token_burst=3)
    with_thoughts = drive(policy, Thinking("every", every=2, limits=limits))
    without = drive(policy, Thinking())
    assert with_thoughts.thoughts
    assert not without.thoughts
    for one, other in zip(with_thoughts.decisions, without.decisions, strict=True):
        np.testing.assert_array_equal(one.chunk.probabilities, other.chunk.probabilities)


def test_act_and_a_thought_about_its_observation_share_one_prefill(tmp_path: Path) -> None:
    policy, backend = fake_policy(tmp_path)
    drive(policy, Thinking("every", every=1), decisions=3)
    assert [call.split()[0] for call in backend.calls].count("observe") == 3
    assert backend.calls.count(f"think_begin {THINK}") == 3


def test_a_held_thought_is_read_again_with_each_new_observation(policy: hyt.Policy) -> None:
    notes = drive(policy, Thinking("every", every=100, condition=True, hold=3), decisions=6)
    assert [decision.condition for decision in notes.decisions] == [
        "none",
        "thought",
        "thought",
        "thought",
        *["none"] * 2,
    ]
    (thought,) = (thought for thought in notes.thoughts if thought.state == "finished")
    policy.reset(instruction="open the drawer")
    for decision in notes.decisions[1:4]:
        assert decision.text == thought.text
        assert decision.thought_tokens is None  # none was written before the action
        expected = policy.act_with_thought(tiny_observation(decision.index - 1), thought.ids)
        np.testing.assert_array_equal(decision.chunk.probabilities, expected.probabilities)


def test_with_the_same_frame_a_held_thought_gives_the_action_of_think(policy: hyt.Policy) -> None:
    policy.reset(instruction="open the drawer")
    thought = policy.think(tiny_observation(3))
    assert thought.action is not None
    again = policy.act_with_thought(tiny_observation(3), thought.tokens)
    np.testing.assert_array_equal(again.tokens, thought.action.tokens)


def gated(folder: Path, probabilities: Sequence[float], threshold: float | None = None) -> Notes:
    policy, _ = fake_policy(folder, probabilities)
    return drive(policy, Thinking("gate", threshold=threshold), decisions=len(probabilities))


def test_the_gate_asks_for_thoughts_and_no_action_waits_for_them(tmp_path: Path) -> None:
    notes = gated(tmp_path, [0.1, 0.7, 0.4, 0.9])
    assert notes.ended() == [2, 4]
    assert {decision.thought_tokens for decision in notes.decisions} == {None}
    assert [state.waiting_for for state in notes.states] == ["the gate"] * 4


def test_a_gate_may_be_given_another_threshold(tmp_path: Path) -> None:
    assert gated(tmp_path, [0.1, 0.7, 0.4, 0.9], threshold=0.3).ended() == [2, 3, 4]


def test_a_thought_longer_than_its_budget_is_cut_and_not_held(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    notes = drive(policy, Thinking("every", every=4, limits=Limits(thought_tokens=2), condition=True))
    assert notes.ended("cut") == [1, 5]
    assert notes.ended() == []
    assert [thought.text for thought in notes.thoughts if thought.state == "cut"] == ["PLAN reach"] * 2
    assert {decision.condition for decision in notes.decisions} == {"none"}


def test_thoughts_a_minute_are_limited_in_the_robots_time(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    # One each four periods; asked for at each.
    limits = Limits(thoughts_per_minute=60 / (4 * PERIOD))
    assert drive(policy, Thinking("every", every=1, limits=limits), decisions=12).ended() == [1, 5, 9]


def test_a_user_may_ask_for_one_thought(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    controls = Controls()
    notes = drive(policy, Thinking(), controls=controls, act=lambda d: controls.think() if d.index == 3 else None)
    assert notes.ended() == [3]


def test_a_followed_text_drops_the_open_thought_and_what_is_held_until_it_is_taken_back(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    controls = Controls()

    def say(decision: Decision) -> None:
        if decision.index == 3:
            controls.follow("MOVE left")
        if decision.index == 6:
            controls.back()

    # A token a decision, three to a thought: the first ends at the third decision, the second is open at the fourth.
    limits = Limits(tokens_per_second=1 / PERIOD, token_burst=1)
    thinking = Thinking("every", every=1, limits=limits, condition=True, hold=100)
    notes = drive(policy, thinking, decisions=12, controls=controls, act=say)
    conditions = [decision.condition for decision in notes.decisions]
    assert [decision.text for decision in notes.decisions[3:6]] == ["MOVE left"] * 3
    assert {notes.states[index].waiting_for for index in (3, 4, 5)} == {"a followed text"}
    assert conditions[:7] == ["none"] * 3 + ["text"] * 3 + ["none"]
    first, second = notes.ended()[:2]
    assert first == 1
    assert second == 7  # the first one after the text was taken back
    assert conditions[-1] == "thought"


def test_the_end_of_an_episode_drops_the_open_thought(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    limits = Limits(tokens_per_second=1 / PERIOD, token_burst=1)
    notes = drive(policy, Thinking("every", every=1, limits=limits), decisions=2)
    assert [thought.state for thought in notes.thoughts] == ["writing"] * 2 + ["dropped"]


def test_a_policy_that_nobody_asks_to_think_never_does(tmp_path: Path) -> None:
    policy, backend = fake_policy(tmp_path)
    notes = drive(policy, Thinking(), decisions=3)
    assert not notes.thoughts
    assert not [call for call in backend.calls if call.startswith("think")]
    assert len(notes.states) == 3


def test_a_gate_that_is_not_there_is_refused_before_anything_moves(tmp_path: Path) -> None:
    policy, _ = fake_policy(tmp_path)
    robot = FakeRobot()
    with pytest.raises(hyt.InputError, match="expected one with a gate"):
        run_episode(policy, robot, instruction="open the drawer", schedule=Schedule(thinking=Thinking("gate")))
    assert robot.seeds == []
