"""Tests of hyt.runtime.policy on a fake backend: what is computed anew, what is shared, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkpoints import ACT, FOLLOW, THINK
from fakes import FakeBackend, fake_policy, tiny_observation

import hyt

Asked = tuple[hyt.Policy, FakeBackend]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    policy, backend = fake_policy(tmp_path)
    policy.reset(instruction="open the drawer")
    return policy, backend


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(hyt.InputError) as caught:
        call()
    return str(caught.value)


def test_act_observes_and_decodes_behind_its_tag(asked: Asked) -> None:
    policy, backend = asked
    chunk = policy.act(tiny_observation())
    assert backend.calls == ["observe 1", f"act {ACT}"]
    assert chunk.values.shape == (2, 4)
    assert chunk.timings.vision == 0.004
    assert chunk.timings.decode == 0.002


def test_acting_and_thinking_on_one_observation_share_its_prefill(asked: Asked) -> None:
    policy, backend = asked
    observation = tiny_observation()
    policy.act(observation)
    policy.think(observation)
    assert backend.calls == ["observe 1", f"act {ACT}", f"think_begin {THINK}", "think", "act_after_thought"]


def test_following_on_the_same_observation_keeps_its_image_tokens(asked: Asked) -> None:
    policy, backend = asked
    observation = tiny_observation()
    policy.act(observation)
    policy.follow(observation, "close the door")
    assert backend.calls[2:] == [f"follow {FOLLOW}"]
    assert (
        backend.layouts[1] == policy.prompt.layout(policy.prompt.encode("close the door"), observation.state).tolist()
    )


def test_following_on_a_new_observation_prefills_only_the_sub_instruction(asked: Asked) -> None:
    policy, backend = asked
    policy.follow(tiny_observation(), "close the door")
    assert backend.calls == ["observe 1", f"act {FOLLOW}"]


def test_acting_after_following_reads_the_instruction_again(asked: Asked) -> None:
    policy, backend = asked
    observation = tiny_observation()
    policy.follow(observation, "close the door")
    policy.act(observation)
    assert backend.calls[2:] == ["observe 1", f"act {ACT}"]
    assert backend.layouts[0] != backend.layouts[1]


def test_an_equal_but_other_observation_is_observed_anew(asked: Asked) -> None:
    policy, backend = asked
    policy.act(tiny_observation())
    policy.act(tiny_observation())
    assert backend.calls.count("observe 1") == 2


def test_a_thought_without_a_deadline_ends_in_an_action(asked: Asked) -> None:
    policy, _ = asked
    thought = policy.think(tiny_observation())
    assert thought.finished
    assert thought.text == "PLAN reach lower"
    assert thought.action is not None
    assert thought.action.timings.thought == thought.timings.thought == 0.002


def test_a_thought_with_a_deadline_goes_on_across_actions(asked: Asked) -> None:
    policy, backend = asked
    thought = policy.think(tiny_observation(), until=0.0)
    assert (thought.text, thought.finished, thought.action) == ("PLAN", False, None)
    policy.act(tiny_observation(1))
    assert policy.resume(until=0.0).text == "PLAN reach"
    assert policy.resume().finished
    policy.act_on_thought()
    assert backend.calls.count(f"think_begin {THINK}") == 1
    assert backend.calls[-1] == "act_after_thought"


def test_a_new_instruction_forgets_the_prefill_and_the_thought(asked: Asked) -> None:
    policy, backend = asked
    observation = tiny_observation()
    policy.think(observation, until=0.0)
    policy.reset(instruction="close the door")
    policy.act(observation)
    assert backend.calls.count("observe 1") == 2
    assert refusal(policy.resume) == "thought; expected one begun by policy.think; received none"


def gated(folder: Path, *probabilities: float) -> Asked:
    policy, backend = fake_policy(folder, probabilities)
    policy.reset(instruction="open the drawer")
    return policy, backend


def test_acting_tells_what_the_gate_says(asked: Asked, tmp_path: Path) -> None:
    assert gated(tmp_path, 0.3)[0].act(tiny_observation()).think_probability == 0.3
    assert asked[0].act(tiny_observation()).think_probability is None


def test_deciding_acts_where_the_gate_says_so(tmp_path: Path) -> None:
    policy, backend = gated(tmp_path, 0.4999)
    chunk, thought = policy.decide(tiny_observation())
    assert thought is None
    assert chunk.think_probability == 0.4999
    assert backend.calls == ["observe 1", f"act {ACT}"]


def test_deciding_thinks_from_the_threshold_on_and_shares_the_prefill(tmp_path: Path) -> None:
    policy, backend = gated(tmp_path, 0.5)
    chunk, thought = policy.decide(tiny_observation())
    assert thought is not None
    assert thought.text == "PLAN reach lower"
    assert chunk.think_probability == 0.5
    assert backend.calls == ["observe 1", f"act {ACT}", f"think_begin {THINK}", "think", "act_after_thought"]
    assert chunk.timings.thought == 0.002
    assert chunk.timings.decode == 0.004  # both actions


def test_a_threshold_given_to_deciding_is_taken_in_place_of_the_contracts(tmp_path: Path) -> None:
    policy, _ = gated(tmp_path, 0.3, 0.9)
    assert policy.decide(tiny_observation(), threshold=0.2)[1] is not None
    assert policy.decide(tiny_observation(), threshold=1.0)[1] is None


def test_deciding_without_a_gate_is_refused_before_anything_is_computed(asked: Asked) -> None:
    policy, backend = asked
    assert refusal(lambda: policy.decide(tiny_observation())) == (
        "policy 'tiny'; expected one with a gate; received none; "
        "think never or always, or train a gate with hyt-train gate"
    )
    assert backend.calls == []


def test_acting_before_an_instruction_is_refused(tmp_path: Path) -> None:
    policy, backend = fake_policy(tmp_path)
    assert refusal(lambda: policy.act(tiny_observation())) == (
        "instruction; expected one; received none; call policy.reset(instruction=...) first"
    )
    assert backend.calls == []


def test_a_refused_instruction_leaves_the_last_one_in_place(asked: Asked) -> None:
    policy, _ = asked
    refusal(lambda: policy.reset(instruction="open the fridge"))
    assert policy.instruction == "open the drawer"


def test_an_observation_that_does_not_fit_reaches_no_engine(asked: Asked) -> None:
    policy, backend = asked
    assert "camera 'camera0': image shape" in refusal(lambda: policy.act(tiny_observation(size=30)))
    assert "camera 'camera0': image shape" in refusal(lambda: policy.follow(tiny_observation(size=30), "open"))
    assert backend.calls == []


def test_warming_up_runs_every_path_and_keeps_the_instruction(asked: Asked) -> None:
    policy, backend = asked
    policy.warm_up()
    kinds = [call.split()[0] for call in backend.calls]
    assert kinds == ["observe", "act", "think_begin", "think", "act_with_thought", "follow"]
    assert policy.instruction == "open the drawer"
    policy.act(tiny_observation())


def test_leaving_the_context_closes_the_backend(tmp_path: Path) -> None:
    policy, backend = fake_policy(tmp_path)
    with policy:
        assert policy.info == {"name": "tiny", "family": "fake", "backend": {"backend": "fake", "threads": 1}}
    assert backend.calls == ["close"]


def test_the_values_are_those_of_the_first_bin(asked: Asked) -> None:
    policy, _ = asked
    action = policy.contract.action
    expected = [d.low + (action.bin_centers[0] + 1) / 2 * (d.high - d.low) for d in action.dimensions]
    np.testing.assert_array_equal(policy.act(tiny_observation()).values, np.float32([expected] * 2))
