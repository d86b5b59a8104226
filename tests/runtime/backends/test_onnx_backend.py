"""onnxruntime over a bundle's ONNX graphs answers as the core does, and refuses what it cannot do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx as onnx_package
import pytest
from action_heads import write_continuous_checkpoint
from bundles import agree
from checkpoints import DEFAULT, Checkpoint, write_checkpoint

import hyt
from hyt.errors import BundleError, HytError, InputError, MissingDependencyError
from hyt.export.exporter import export_bundle
from hyt.export.onnx import VARIANTS
from hyt.runtime.bundle import open_bundle
from hyt.runtime.policy import Policy

# Largest difference of a continuous action, of a gate's probability: float32 rounding in another order.
BOUND = 2e-5
TEXT, OTHER = "open the drawer", "close the door slowly"


@pytest.fixture(scope="module", params=VARIANTS)
def bundle(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A random policy with a gate and two cameras, f32, with ONNX graphs."""
    folder = tmp_path_factory.mktemp("onnx")
    write_checkpoint(folder / "tiny", replace(DEFAULT, gate_units=8, cameras=2))
    export_bundle(folder / "tiny", folder / "tiny.hyt", quantization="f32", onnx=request.param, threads=1)
    return folder / "tiny.hyt"


@pytest.fixture
def core(bundle: Path) -> Iterator[Policy]:
    with hyt.load(bundle, threads=1) as policy:
        policy.reset(instruction=TEXT)
        yield policy


@pytest.fixture
def onnx(bundle: Path) -> Iterator[Policy]:
    with hyt.load(bundle, threads=1, backend="onnx") as policy:
        policy.reset(instruction=TEXT)
        yield policy


def observe(policy: Policy, seed: int) -> hyt.Observation:
    random = np.random.default_rng(seed)
    images = {c.name: random.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in policy.contract.cameras}
    return hyt.Observation(images, random.uniform(-1, 1, len(policy.contract.state.dimensions)))


def tokens(chunk: hyt.ActionChunk | None) -> list[int]:
    assert chunk is not None
    assert chunk.tokens is not None
    return chunk.tokens.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_it_acts_thinks_and_follows_as_the_core(core: Policy, onnx: Policy, seed: int) -> None:
    observation = observe(core, seed)
    a, b = (policy.act(observation) for policy in (core, onnx))
    assert tokens(a) == tokens(b)
    np.testing.assert_allclose(b.probabilities, a.probabilities, atol=BOUND)
    assert b.think_probability == pytest.approx(a.think_probability, abs=BOUND)
    np.testing.assert_allclose(onnx.act_state(), core.act_state(), atol=1e-4)
    assert tokens(core.follow(observation, OTHER)) == tokens(onnx.follow(observation, OTHER))
    first, second = (policy.think(observation) for policy in (core, onnx))
    assert (first.text, first.finished) == (second.text, second.finished)
    assert tokens(first.action) == tokens(second.action)
    again = [policy.act_with_thought(observation, first.tokens) for policy in (core, onnx)]
    assert tokens(again[0]) == tokens(again[1]) == tokens(first.action)


def test_a_call_leaves_the_prefix_as_it_was(onnx: Policy) -> None:
    observation = observe(onnx, 7)
    first, state = onnx.act(observation), onnx.act_state()
    onnx.follow(observation, OTHER)
    onnx.reset(instruction=TEXT)
    onnx.think(observation)
    onnx.act_with_thought(observation, np.array([20, 21], np.int32))
    assert tokens(onnx.act(observation)) == tokens(first)
    assert (onnx.act_state() == state).all()


def test_an_open_thought_keeps_its_observation_whatever_comes_in_between(core: Policy, onnx: Policy) -> None:
    whole = core.think(observe(core, 1))
    part = onnx.think(observe(onnx, 1), tokens=2)
    assert part.tokens.tolist() == whole.tokens.tolist()[:2]
    onnx.act(observe(onnx, 2))
    onnx.follow(observe(onnx, 3), OTHER)
    rest = onnx.resume()
    assert (rest.text, rest.finished) == (whole.text, True)
    assert tokens(onnx.act_on_thought()) == tokens(whole.action)


def test_a_thought_stops_at_a_deadline_that_has_passed(onnx: Policy) -> None:
    onnx.think(observe(onnx, 1), tokens=0)
    thought = onnx.resume(until=0.0)
    assert (thought.tokens.tolist(), thought.finished) == ([], False)


@pytest.mark.parametrize(("quantization", "variant"), [("f32", "fused"), ("f32", "qdq"), ("q4_0", "fused")])
def test_a_continuous_policy_gives_the_cores_numbers(tmp_path: Path, quantization: str, variant: str) -> None:
    write_continuous_checkpoint(tmp_path / "tiny")
    export_bundle(tmp_path / "tiny", tmp_path / "x.hyt", quantization=quantization, onnx=variant, threads=1)
    answers = []
    for backend in ("core", "onnx"):
        with hyt.load(tmp_path / "x.hyt", threads=1, backend=backend) as policy:
            policy.reset(instruction=TEXT)
            observation = observe(policy, 0)
            thought = policy.think(observation)
            assert thought.action is not None
            acts = [policy.act(observation), policy.follow(observation, OTHER), thought.action]
            answers.append(np.stack([chunk.values for chunk in acts]))
    # Both round activations of INT4 to 8 bits, but not alike.
    np.testing.assert_allclose(answers[1], answers[0], atol=BOUND if quantization == "f32" else 0.05)


def test_it_tells_its_version_provider_and_bytes(onnx: Policy) -> None:
    onnx.act(observe(onnx, 0))
    info = onnx.info["backend"]
    assert info["backend"].startswith("onnxruntime ")
    assert info["backend"].endswith(" cpu")
    assert info["threads"] == 1
    assert info["weights_bytes"] > 0
    assert info["kv_bytes"] > 0


def test_a_bundle_without_graphs_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"expected ONNX graphs in it; received none; .*--onnx"):
        hyt.load(tiny_bundle, backend="onnx")


def test_an_unknown_backend_or_provider_is_refused(bundle: Path) -> None:
    with pytest.raises(InputError, match=r"backend; expected one of core, onnx; received 'ort'"):
        hyt.load(bundle, backend="ort")
    with pytest.raises(InputError, match=r"provider; expected one of cpu, cuda, tensorrt; received 'gpu'"):
        hyt.load(bundle, backend="onnx", provider="gpu")
    with pytest.raises(InputError, match=r"provider; expected none but with backend 'onnx'"):
        hyt.load(bundle, provider="cpu")


def test_the_activations_are_those_of_the_export(bundle: Path) -> None:
    with pytest.raises(InputError, match=r"activations; expected int8, which .*; received 'float32'; export with"):
        hyt.load(bundle, backend="onnx", activations="float32")
    with pytest.raises(InputError, match=r"backend 'onnx'; expected .*; received without strips"):
        hyt.load(bundle, backend="onnx", without=("strips",))
    hyt.load(bundle, backend="onnx", activations="int8", threads=1, warm_up=False).close()


def test_a_provider_that_this_onnxruntime_has_not_is_refused(bundle: Path) -> None:
    with pytest.raises(InputError, match=r"provider; expected one that this onnxruntime has \(cpu.*onnxruntime-gpu"):
        hyt.load(bundle, backend="onnx", provider="tensorrt")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_takes_standard_operators_and_must_start(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As an onnxruntime for a GPU says it, whose libraries then do not load.
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: there)
    fused = open_bundle(bundle).manifest.onnx.variant == "fused"
    expected = (
        r"graphs of standard operators.*--onnx-variant qdq" if fused else r"onnxruntime to start it; received CPU"
    )
    with pytest.raises(HytError, match=rf"provider 'cuda'; expected {expected}"):
        hyt.load(bundle, backend="onnx", provider="cuda")


def test_without_onnxruntime_the_extra_is_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hyt\[onnx\]'"):
        hyt.load(bundle, backend="onnx")


def test_without_the_package_onnx_an_export_says_so_before_any_work(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in [name for name in sys.modules if name.startswith("hyt.export.onnx.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hyt\[onnx\]'"):
        export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", onnx="fused")
    assert not (tmp_path / "x.hyt").exists()


def test_a_closed_policy_is_refused(bundle: Path) -> None:
    policy = hyt.load(bundle, threads=1, backend="onnx")
    policy.reset(instruction=TEXT)
    policy.close()
    policy.close()
    with pytest.raises(HytError, match=r"policy; expected an open policy; received a closed one"):
        policy.act(observe(policy, 0))


def test_tokens_outside_the_vocabulary_and_early_calls_are_refused(bundle: Path) -> None:
    onnx = hyt.load(bundle, threads=1, backend="onnx", warm_up=False)
    onnx.reset(instruction=TEXT)
    backend = onnx._backend
    with pytest.raises(HytError, match=r"expected an observation first"):
        backend.act(6)
    with pytest.raises(HytError, match=r"expected think_begin first"):
        backend.think(None, None)
    onnx.think(observe(onnx, 0), tokens=0)
    with pytest.raises(HytError, match=r"expected a finished thought"):
        backend.act_after_thought()
    with pytest.raises(HytError, match=r"token id; expected 0 to"):
        backend.act(10**6)
    with pytest.raises(HytError, match=r"layout: token id"):
        backend.follow(np.array([-1, -2, 10**6], np.int32), 6)


def test_logits_that_are_no_numbers_give_no_action(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy.hyt"))
    path = copy / "onnx/decoder.onnx"
    model = onnx_package.load(path, load_external_data=False)
    norm = next(tensor for tensor in model.graph.initializer if tensor.name == "output_norm.weight")
    norm.raw_data = np.full(norm.dims[0], np.nan, np.float32).tobytes()
    path.write_bytes(model.SerializeToString())
    agree(copy, "onnx/decoder.onnx")
    with pytest.raises(HytError, match=r"logits; expected finite values; received NaN or infinity"):
        hyt.load(copy, threads=1, backend="onnx")
