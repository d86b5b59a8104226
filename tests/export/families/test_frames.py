"""Two cameras with two frames each: the bundle says what transformers says of the four images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from families import Case, write_llava, write_paligemma
from family_parity import F32_BOUND, LOGITS

import hyt
from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import open_bundle
from hyt.runtime.cli.inspect import sections
from hyt.runtime.frames import FrameHistory

FAMILIES: dict[str, Callable[[Path], Case]] = {
    "paligemma": write_paligemma,  # in both directions
    "llava clip llama": lambda path: write_llava(path, "clip", "llama"),  # causal
}


def write_looking_back(path: Path, name: str) -> Case:
    case = FAMILIES[name](path)
    data = json.loads((path / "hyt.json").read_text())
    for camera in data["cameras"]:
        camera.update(frames=2, frame_stride=3)
    (path / "hyt.json").write_text(json.dumps(data))
    return case


@pytest.mark.parametrize("backend", LOGITS)
@pytest.mark.parametrize("name", FAMILIES)
def test_two_frames_of_two_cameras_are_four_images_to_transformers(tmp_path: Path, name: str, backend: str) -> None:
    case = write_looking_back(tmp_path / "c", name)
    export_bundle(case.path, tmp_path / "x.hyt", quantization="f32", onnx="fused", threads=1)
    bundle = open_bundle(tmp_path / "x.hyt")
    contract, random = bundle.contract, np.random.default_rng(5)
    assert contract.image_count == 4
    images = {c.name: random.integers(0, 256, c.shape, dtype=np.uint8) for c in contract.cameras}
    state = [0.1] * len(contract.state.dimensions) if contract.state else []
    with hyt.load(tmp_path / "x.hyt", threads=1, backend=backend) as policy:
        policy.reset(instruction=contract.instructions[0])
        tokens = policy.act(hyt.Observation(images, state)).tokens.tolist()
        text = policy.prompt.encode(contract.instructions[0])
        layout = policy.prompt.layout(text, np.array(state, np.float32))
    order = [images[s.camera][frame] for s in contract.prompt if s.kind == "image" for frame in range(2)]
    fed = [contract.modalities.act, *tokens[:-1]]
    expected = case.logits(order, layout.tolist(), fed)
    error = np.abs(LOGITS[backend](bundle, order, layout, fed) - expected).max()
    assert error < F32_BOUND * np.abs(expected).max()
    ids = np.array(contract.action.token_ids)
    said = ids[expected[:, ids].argmax(axis=1)]
    best = np.sort(expected[:, ids], axis=1)
    clear = best[:, -1] - best[:, -2] > 2 * error
    assert clear.any()
    np.testing.assert_array_equal(np.array(tokens)[clear], said[clear])


def test_the_past_changes_the_action_and_inspect_tells_of_it(tmp_path: Path) -> None:
    write_looking_back(tmp_path / "c", "paligemma")
    export_bundle(tmp_path / "c", tmp_path / "x.hyt", quantization="f32", threads=1)
    bundle = open_bundle(tmp_path / "x.hyt")
    shown = [value for name, value in dict(sections(bundle))["prompt"] if name == "image"]
    camera = bundle.contract.cameras[0]
    assert shown[0] == (
        f"camera {camera.name!r}, uint8 (2, {camera.height}, {camera.width}, 3) RGB, oldest first, every 3 decisions"
    )
    random = np.random.default_rng(1)
    state = [0.1] * len(bundle.contract.state.dimensions) if bundle.contract.state else []

    def look() -> hyt.Observation:
        shapes = {c.name: (c.height, c.width, 3) for c in bundle.contract.cameras}
        return hyt.Observation({n: random.integers(0, 256, s, dtype=np.uint8) for n, s in shapes.items()}, state)

    with hyt.load(tmp_path / "x.hyt", threads=1) as policy:
        policy.reset(instruction=bundle.contract.instructions[0])
        last, histories = look(), [FrameHistory(bundle.contract) for _ in range(2)]
        histories[1].add(look())
        probabilities = [policy.act(history.add(last)).confidence for history in histories]
    assert probabilities[0] != probabilities[1]


@pytest.mark.parametrize("name", FAMILIES)
def test_onnxruntime_says_the_same_of_several_frames(tmp_path: Path, name: str) -> None:
    write_looking_back(tmp_path / "c", name)
    export_bundle(tmp_path / "c", tmp_path / "x.hyt", quantization="f32", onnx="fused", threads=1)
    contract, random = open_bundle(tmp_path / "x.hyt").contract, np.random.default_rng(5)
    images = {c.name: random.integers(0, 256, c.shape, dtype=np.uint8) for c in contract.cameras}
    state = [0.1] * len(contract.state.dimensions) if contract.state else []
    said = []
    for backend in ("core", "onnx"):
        with hyt.load(tmp_path / "x.hyt", threads=1, backend=backend) as policy:
            policy.reset(instruction=contract.instructions[0])
            chunk = policy.act(hyt.Observation(images, state))
            said.append((chunk.tokens.tolist(), chunk.confidence))
    assert said[0][0] == said[1][0]
    assert said[0][1] == pytest.approx(said[1][1], rel=1e-4)
