"""A continuous policy is fitted, resumed, exported and loaded: what the robot gets is what PyTorch says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_fit import SIZE, TINY
from training_data import write_dataset

import hyt
from hyt.dataset import open_dataset
from hyt.errors import CheckpointError, InputError
from hyt.export.exporter import export_bundle
from hyt.training.batches import normalised_images
from hyt.training.cli import main
from hyt.training.fit import fit
from hyt.training.hybrid import Composer, FollowShares, Weights
from hyt.training.loss import SmoothedCrossEntropy
from hyt.training.network import HybridNetwork
from hyt.training.packing import pack
from hyt.training.samples import Samples
from hyt.training.start import Start, checkpoint_start, random_start, with_action

STEPS = 2
RECIPE = replace(TINY, steps=6)
F32_BOUND = 1e-4  # of a number in [-1, 1]: float32 sums in another order


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


def continuous_start(seed: int = 0) -> Start:
    return with_action(random_start(SIZE, "tiny", seed), "continuous", STEPS, seed)


def run(data: Path, output: Path, start: Start, **options: Any) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    options = {"save_every": RECIPE.steps, "report": reports.append} | options
    fit(open_dataset(data, chunk_steps=STEPS), output, start, RECIPE, **options)
    return reports


@pytest.fixture(scope="module")
def fitted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    path = tmp_path_factory.mktemp("fit") / "fit"
    return path, run(data, path, continuous_start())


def test_validation_tells_of_every_modality(fitted: tuple[Path, list[dict[str, Any]]]) -> None:
    errors = fitted[1][-1]
    assert {"act", "think", "follow", "thought", "q4_act"} <= set(errors)
    assert 0 < errors["act"] < 2


def test_its_bundle_says_the_numbers_of_pytorch(
    data: Path, fitted: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    path = fitted[0]
    export_bundle(path, tmp_path / "x.hyt", quantization="f32", threads=1)
    start = checkpoint_start(path)
    decision = open_dataset(data, chunk_steps=STEPS)[0]
    samples = Samples([decision], start.contract, start.tokenizer)
    example = samples[0]
    composer = Composer(start.contract, 4, Weights(), FollowShares())
    network = HybridNetwork(start.model, SmoothedCrossEntropy([], 0.0), start.action_head).eval()
    pixels = normalised_images(samples, np.stack([example.images]))
    dims = start.contract.action.dimensions
    low, high = (np.array([getattr(d, side) for d in dims]) for side in ("low", "high"))
    with hyt.load(tmp_path / "x.hyt", threads=1) as policy:
        policy.reset(instruction=decision.instruction)
        observation = hyt.Observation(decision.images, decision.state)
        chunks = {
            "act": (policy.act(observation), composer.acting(example, "act")),
            "follow": (
                policy.follow(observation, str(decision.thought)),
                composer.following(example, example.thought or []),
            ),
        }
    for chunk, sequence in chunks.values():
        with torch.no_grad():
            numbers = network(*pack([sequence], pixels)).numbers[0].numpy().clip(-1, 1)
        received = 2 * (chunk.values - low) / (high - low) - 1
        assert chunk.values.shape == (STEPS, 4)
        np.testing.assert_allclose(received, numbers.reshape(STEPS, -1), atol=F32_BOUND)


def test_a_resumed_fit_ends_where_an_unbroken_one_ends(
    data: Path, fitted: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    class StoppedError(Exception):
        pass

    def stop_at_four(values: dict[str, Any]) -> None:
        if values.get("step") == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(data, tmp_path / "broken", continuous_start(), save_every=3, report=stop_at_four)
    run(data, tmp_path / "broken", continuous_start(), save_every=3)
    for name in ("model.safetensors", "action_head.safetensors"):
        assert (tmp_path / "broken" / name).read_bytes() == (fitted[0] / name).read_bytes()


def test_a_saved_fit_of_another_head_is_not_resumed(
    data: Path, fitted: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    tokens = with_action(random_start(SIZE, "tiny", 0), None, STEPS, 0)
    with pytest.raises(CheckpointError, match="head; expected None, as asked; received continuous, chunks of 2"):
        run(data, fitted[0], tokens)


def test_a_checkpoint_with_tokens_goes_on_as_a_continuous_one_and_keeps_its_head_then(
    fitted: tuple[Path, list[dict[str, Any]]],
) -> None:
    tokens = random_start(SIZE, "tiny", 0)
    assert with_action(tokens, None, None, 0) is tokens
    assert with_action(tokens, "tokens", 1, 0) is tokens
    fresh = with_action(tokens, "continuous", 3, 0)
    assert fresh.model is tokens.model
    assert (fresh.contract.action.kind, fresh.contract.action.steps) == ("continuous", 3)
    trained = checkpoint_start(fitted[0])
    assert with_action(trained, "continuous", STEPS, 0) is trained
    assert trained.action_head is not None
    assert with_action(trained, None, STEPS + 1, 0).action_head is not trained.action_head
    with pytest.raises(InputError, match="head; expected continuous, as the checkpoint's; received tokens"):
        with_action(trained, "tokens", None, 0)


def test_the_command_line_fits_one(data: Path, tmp_path: Path) -> None:
    arguments = ["fit", str(data), "-o", str(tmp_path / "fit"), "--size", "tiny", "--steps", "1", "--batch", "1"]
    assert main([*arguments, "--threads", "1", "--head", "continuous", "--chunk-steps", "2"]) == 0
    start = checkpoint_start(tmp_path / "fit")
    assert (start.contract.action.kind, start.contract.action.steps) == ("continuous", 2)
