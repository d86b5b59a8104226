"""Tests of the public API on the real core, with a random tiny bundle."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import tiny_observation

import hyt

THREADS = 1  # two would wait for each other on a busy machine


@pytest.fixture(scope="module")
def policy(tiny_bundle: Path) -> Iterator[hyt.Policy]:
    with hyt.load(tiny_bundle, threads=THREADS) as policy:
        yield policy


@pytest.fixture(autouse=True)
def begin(policy: hyt.Policy) -> None:
    policy.reset(instruction="open the drawer")


def test_the_quick_start_runs_as_written_without_torch(tiny_bundle: Path) -> None:
    program = f"""
import sys, numpy as np
image, state = np.zeros((28, 28, 3), np.uint8), [0.0, 0.0, 0.0, 0.0]
import hyt
policy = hyt.load({str(tiny_bundle)!r}, threads=1)
policy.reset(instruction="open the drawer")
chunk = policy.act(hyt.Observation({{"camera0": image}}, state))
print(chunk.values.shape, chunk.units, chunk.step_time)
assert not set(sys.modules) & {{"torch", "transformers", "metaworld", "mujoco"}}
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "(2, 4) ('m', 'm', 'm', '1') 0.0625\n"


def test_an_action_is_finite_within_limits_and_timed(policy: hyt.Policy) -> None:
    chunk = policy.act(tiny_observation())
    assert chunk.values.dtype == np.float32
    low = np.array([dimension.low for dimension in chunk.dimensions])
    high = np.array([dimension.high for dimension in chunk.dimensions])
    assert (low <= chunk.values).all()
    assert (chunk.values <= high).all()
    assert set(chunk.tokens.tolist()) <= set(policy.contract.action.token_ids)
    assert (chunk.probabilities > 0).all()
    assert (chunk.probabilities <= 1).all()
    timings = chunk.timings
    assert 0 < timings.vision + timings.prefill + timings.decode <= timings.total
    assert timings.thought == 0


def test_acting_twice_gives_the_same_bits(policy: hyt.Policy) -> None:
    first, second = policy.act(tiny_observation()), policy.act(tiny_observation())
    np.testing.assert_array_equal(first.tokens, second.tokens)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)


def test_another_image_state_or_instruction_changes_the_probabilities(policy: hyt.Policy) -> None:
    seen = tiny_observation()
    first = policy.act(seen).probabilities
    image = policy.act(hyt.Observation({"camera0": seen.images["camera0"] // 2}, seen.state)).probabilities
    state = policy.act(hyt.Observation(seen.images, -seen.state)).probabilities
    policy.reset(instruction="close the door slowly")
    text = policy.act(seen).probabilities
    for other in (image, state, text):
        assert (first != other).any()


def test_a_shared_prefill_gives_what_a_new_one_gives(policy: hyt.Policy) -> None:
    seen = tiny_observation(3)
    policy.act(seen)
    shared = policy.think(seen)
    fresh = policy.think(tiny_observation(3))
    assert shared.text == fresh.text
    assert shared.action is not None
    assert fresh.action is not None
    np.testing.assert_array_equal(shared.action.probabilities, fresh.action.probabilities)


def test_a_thought_is_text_and_ends(policy: hyt.Policy) -> None:
    thought = policy.think(tiny_observation())
    contract = policy.contract
    assert thought.finished
    assert 0 < len(thought.tokens) <= contract.thought.max_tokens
    assert not set(thought.tokens.tolist()) & {*contract.thought.suppressed_ids, contract.thought.end_id}
    assert policy.prompt.decode(thought.tokens.tolist()) == thought.text
    timings = thought.timings
    assert min(timings.vision, timings.prefill, timings.thought, timings.decode) > 0
    assert timings.vision + timings.prefill + timings.thought + timings.decode <= timings.total


def test_a_thought_stopped_at_every_token_is_the_same_thought(policy: hyt.Policy) -> None:
    whole = policy.think(tiny_observation(5))
    part = policy.think(tiny_observation(5), until=time.monotonic())
    texts = [part.text]
    while not part.finished:
        policy.act(tiny_observation(6))  # acting goes on while the thought waits
        part = policy.resume(until=time.monotonic() + 1e-4)
        texts.append(part.text)
    assert texts[-1] == whole.text
    assert all(whole.text.startswith(text) for text in texts)
    assert whole.action is not None
    np.testing.assert_array_equal(policy.act_on_thought().probabilities, whole.action.probabilities)


def test_following_depends_on_its_text_and_not_on_the_instruction(policy: hyt.Policy) -> None:
    seen = tiny_observation()
    left = policy.follow(seen, "MOVE left").probabilities
    right = policy.follow(seen, "MOVE right").probabilities
    policy.reset(instruction="close the door slowly")
    again = policy.follow(tiny_observation(), "MOVE left").probabilities
    assert (left != right).any()
    np.testing.assert_array_equal(left, again)


def test_following_behind_an_action_is_following_afresh(policy: hyt.Policy) -> None:
    seen = tiny_observation(2)
    policy.act(seen)
    shared = policy.follow(seen, "MOVE up")
    fresh = policy.follow(tiny_observation(2), "MOVE up")
    np.testing.assert_array_equal(shared.probabilities, fresh.probabilities)


def test_an_unfinished_thought_has_no_action(policy: hyt.Policy) -> None:
    thought = policy.think(tiny_observation(), until=0.0)
    assert not thought.finished
    with pytest.raises(hyt.HytError, match="thought"):
        policy.act_on_thought()


def test_warming_up_changes_no_answer(policy: hyt.Policy) -> None:
    before = policy.act(tiny_observation())
    policy.warm_up()
    np.testing.assert_array_equal(policy.act(tiny_observation()).probabilities, before.probabilities)


def test_a_closed_policy_says_so(tiny_bundle: Path) -> None:
    policy = hyt.load(tiny_bundle, threads=THREADS)
    policy.reset(instruction="open the drawer")
    policy.close()
    with pytest.raises(hyt.HytError) as caught:
        policy.act(tiny_observation())
    assert str(caught.value) == "policy; expected an open policy; received a closed one; load it again"


def test_a_missing_core_says_what_to_install(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hyt.runtime._core", None)
    monkeypatch.delattr("hyt.runtime._core")
    with pytest.raises(hyt.MissingDependencyError) as caught:
        hyt.load(tiny_bundle)
    line = str(caught.value)
    assert line.startswith("the C++ core hyt.runtime._core; received ")
    assert line.endswith("; install hyt and llama-cpp-python again")


def test_a_negative_number_of_threads_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(hyt.InputError) as caught:
        hyt.load(tiny_bundle, threads=-1)
    assert str(caught.value) == "threads; expected 0 (all physical cores but one) to 512; received -1"


def test_another_type_of_keys_and_values_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(hyt.InputError) as caught:
        hyt.load(tiny_bundle, kv_type="q8_0")
    assert str(caught.value) == "kv type; expected one of f32, f16; received 'q8_0'"


def test_a_device_that_ggml_does_not_have_is_refused_with_how_to_get_it(tiny_bundle: Path) -> None:
    with pytest.raises(hyt.InputError) as caught:
        hyt.load(tiny_bundle, device="tpu")
    line = str(caught.value)
    assert re.match(r"device; expected one of those that the installed ggml has: .*CPU.*; received 'tpu'; CMAKE_", line)
    assert 'CMAKE_ARGS="-DGGML_CUDA=on" pip install --no-cache-dir --force-reinstall llama-cpp-python==' in line
    assert "\n" not in line


def test_a_device_that_lacks_an_operator_is_refused(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hyt.runtime import _core

    def lacking(*_: object, **__: object) -> None:
        problem = _core.DeviceError()
        problem.subject, problem.expected, problem.received = (
            "device X",
            "one that computes NORM of f32",
            "one that does not",
        )
        raise problem

    monkeypatch.setattr(_core, "Session", lacking)
    with pytest.raises(hyt.InputError) as caught:
        hyt.load(tiny_bundle)
    line = "device X; expected one that computes NORM of f32; received one that does not; "
    assert str(caught.value) == line + "load the policy on the device cpu"


def test_a_device_is_the_cores_alone(tiny_bundle: Path) -> None:
    with pytest.raises(hyt.InputError) as caught:
        hyt.load(tiny_bundle, backend="onnx", device="cuda")
    line = "backend 'onnx'; expected device cpu; received 'cuda'; name a provider, or take the backend 'core'"
    assert str(caught.value) == line


def test_other_activations_and_cuts_are_refused(tiny_bundle: Path) -> None:
    with pytest.raises(hyt.InputError) as caught:
        hyt.load(tiny_bundle, activations="int4")
    assert str(caught.value) == "activations; expected one of int8, float32; received 'int4'"
    with pytest.raises(hyt.InputError) as caught:
        hyt.load(tiny_bundle, without=("strips", "speed"))
    assert re.fullmatch(r"without; expected speed-ups of strips, fused, .*; received 'speed'", str(caught.value))


def test_activations_and_cuts_are_a_choice_of_the_run(tiny_bundle: Path) -> None:
    with hyt.load(tiny_bundle, threads=THREADS, activations="float32", without=("last_layer",)) as policy:
        assert policy.info["backend"]["backend"] == "CPU, float32 activations"
        assert policy.info["backend"]["without"] == ["last_layer"]


def test_weights_may_stay_in_their_files_and_keys_in_half_precision(tiny_bundle: Path) -> None:
    with (
        hyt.load(tiny_bundle, threads=THREADS) as usual,
        hyt.load(tiny_bundle, threads=THREADS, mapped=True, kv_type="f16") as small,
    ):
        own, other = (policy.info["backend"] for policy in (usual, small))
    assert other["weights_bytes"] < own["weights_bytes"] / 2
    assert other["kv_bytes"] == own["kv_bytes"] / 2


def test_the_info_names_policy_and_engine(policy: hyt.Policy) -> None:
    info = policy.info
    assert (info["name"], info["family"]) == ("tiny", "paligemma2")
    assert info["backend"]["threads"] == THREADS
    assert info["backend"]["weights_bytes"] > 0


def test_the_whole_api_is_documented() -> None:
    for name in hyt.__all__:
        assert getattr(hyt, name).__doc__
