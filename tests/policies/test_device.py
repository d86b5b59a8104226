"""The shipped policy on another device (tests/devices.py): it chooses what the CPU chooses, and is told apart."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from devices import NAMED, SETTINGS
from shipped_policy import CHECKPOINT, session

import hyt
from hyt.export.exporter import export_bundle
from hyt.runtime import _core
from hyt.runtime.bundle import Bundle, open_bundle
from hyt.runtime.cli import main
from hyt.runtime.observation import check_observation, random_observation
from hyt.runtime.prompt import Prompt, read_tokenizer

OBSERVATIONS = 12

LOGIT_ERROR = 0.25
"""Largest difference of a logit (of up to 30), and the margin above which choices must agree, as test_own_kernels.py
has it: the CPU rounds activations to int8, a device perhaps otherwise (the CPU as another 0.04, llvmpipe 0.08)."""

FLOAT_ERROR = 0.02
"""The same where neither rounds activations: GELU tables and sums in another order (0.002, llvmpipe 0.005)."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("bundles") / "q4_0.hyt"
    export_bundle(CHECKPOINT, path, quantization="q4_0")
    return open_bundle(path)


@pytest.fixture(params=SETTINGS)
def device(request: pytest.FixtureRequest) -> dict[str, Any]:
    settings: dict[str, Any] = SETTINGS[request.param]
    return settings


def logit_errors(bundle: Bundle, expected: _core.Session, got: _core.Session, bound: float) -> list[float]:
    """Largest difference of an action's logit by observation; choices clearer than `bound` must be the same."""
    contract = bundle.contract
    prompt = Prompt(contract, read_tokenizer(bundle.tokenizer, contract))
    tag, rows = contract.modalities.act, np.array(contract.action.token_ids)
    errors = []
    for seed in range(OBSERVATIONS):
        observation = random_observation(contract, seed)
        images = check_observation(observation, contract)
        layout = prompt.layout(
            prompt.encode(contract.instructions[seed % len(contract.instructions)]), observation.state
        )
        expected.observe(images, layout)
        fed = np.concatenate([[tag], expected.act(tag).tokens[:-1]]).astype(np.int32)
        theirs, ours = (one.logits(layout, images, fed)[:, rows] for one in (expected, got))
        errors.append(float(np.abs(ours - theirs).max()))
        best = np.sort(theirs, axis=1)
        decided = best[:, -1] - best[:, -2] > bound
        assert np.array_equal(ours.argmax(axis=1)[decided], theirs.argmax(axis=1)[decided])
    return errors


def test_it_chooses_there_what_the_cpu_chooses(bundle: Bundle, device: dict[str, Any]) -> None:
    errors = logit_errors(bundle, session(bundle, own_kernels=False), session(bundle, **device), LOGIT_ERROR)
    assert max(errors) < LOGIT_ERROR


def test_with_float32_activations_both_say_the_same_but_for_rounding(bundle: Bundle, device: dict[str, Any]) -> None:
    here, there = session(bundle, activations="float32"), session(bundle, activations="float32", **device)
    assert max(logit_errors(bundle, here, there, FLOAT_ERROR)) < FLOAT_ERROR


def test_a_loaded_policy_acts_thinks_and_follows_there(
    bundle: Bundle, device: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with hyt.load(bundle.path, threads=1) as here:
        expected = [_answers(here, seed) for seed in range(2)]
    name = _chosen(device, monkeypatch)
    with hyt.load(bundle.path, threads=1, device=name) as there:
        assert there.info["backend"]["device"] == _core.find_device(name)
        assert there.info["backend"]["speculation"]["now"] == "off"
        for seed, answers in enumerate(expected):
            for chunk, reference in zip(_answers(there, seed), answers, strict=True):
                assert chunk.shape == reference.shape
                assert np.isfinite(chunk).all()


def _chosen(device: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """The name to load with; the CPU becomes another device."""
    if "foreign" in device:
        monkeypatch.setattr(_core, "Session", partial(_core.Session, foreign=True))
    return str(device.get("device", "cpu"))


def _answers(policy: hyt.Policy, seed: int) -> list[np.ndarray[Any, Any]]:
    instruction, other = policy.contract.instructions[:2]
    policy.reset(instruction=instruction)
    observation = random_observation(policy.contract, seed)
    acted, thought = policy.act(observation), policy.think(observation)
    assert thought.finished
    assert thought.action is not None
    followed = policy.follow(observation, other)
    return [chunk.values for chunk in (acted, thought.action, followed)]


def test_a_bench_names_the_device(
    bundle: Bundle, device: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = _chosen(device, monkeypatch)
    assert main(["bench", str(bundle.path), "--threads", "1", "--repeat", "1", "--device", name]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    report = json.loads(line)
    found = _core.find_device(name)
    assert report["backend"]["device"] == found
    assert bool(report["share"]) is (found == "CPU")  # the ceiling is the CPU's
    assert f"on {found} (" in " ".join(" ".join(table).split())


if NAMED:  # the CPU's may stay, so without another device there is nothing to refuse

    @pytest.mark.parametrize("name", NAMED)
    def test_mapped_weights_are_refused_there(bundle: Bundle, name: str) -> None:
        with pytest.raises(hyt.InputError, match=r"mapped; expected weights that are copied to device .*; received"):
            hyt.load(bundle.path, device=name, mapped=True)
