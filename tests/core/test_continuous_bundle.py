"""A continuous checkpoint, exported and loaded as a robot would: the numbers of transformers, in the robot's units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from action_heads import Head, write_continuous_checkpoint
from checkpoints import ACT, AWKWARD, DEFAULT, END, FOLLOW, THINK, Checkpoint, Shape
from continuous_reference import reference_chunk
from numpy.typing import NDArray
from reference import Case

import hyt
from hyt.export.exporter import export_bundle
from hyt.runtime.policy import Policy

F32_BOUND = 2e-5  # float32 rounding, as a share of half a dimension's range
Q4_BOUND = 0.5  # the same for weights rounded to four bits: a random model's, which nothing trained to bear it
OTHER = "close the door slowly"


def expected(
    checkpoint: Checkpoint, head: Head, observation: hyt.Observation, layout: Sequence[int], fed: Sequence[int]
) -> NDArray[np.float32]:
    """(steps, dims) in the robot's units."""
    action = checkpoint.contract.action
    case = Case(checkpoint.shape, checkpoint.model, list(observation.images.values()), {})
    numbers = np.clip(reference_chunk(case, head, layout, fed), -1, 1).reshape(action.steps, -1)
    low, high = (np.array([getattr(d, side) for d in action.dimensions]) for side in ("low", "high"))
    values: NDArray[np.float32] = low + (numbers + 1) / 2 * (high - low)
    return values


def observe(shape: Shape, seed: int) -> hyt.Observation:
    random = np.random.default_rng(seed)
    size = (shape.image_size, shape.image_size, 3)
    images = {f"camera{i}": random.integers(0, 256, size, dtype=np.uint8) for i in range(shape.cameras)}
    return hyt.Observation(images, random.uniform(-1, 1, 4))


@pytest.mark.parametrize("shape", [DEFAULT, AWKWARD])
@pytest.mark.parametrize(("quantization", "bound"), [("f32", F32_BOUND), ("q4_0", Q4_BOUND)])
def test_a_bundle_acts_thinks_and_follows_as_its_checkpoint(
    tmp_path: Path, shape: Shape, quantization: str, bound: float
) -> None:
    checkpoint, head = write_continuous_checkpoint(tmp_path / "tiny", shape, seed=2)
    export_bundle(checkpoint.path, tmp_path / "tiny.hyt", quantization=quantization, threads=1)
    with hyt.load(tmp_path / "tiny.hyt", threads=1) as policy:
        policy.reset(instruction="open the drawer")
        observation = observe(shape, 1)
        act, follow = policy.act(observation), policy.follow(observation, OTHER)
        thought = policy.think(observation)
        assert thought.action is not None
        layout = layout_of(policy, "open the drawer", observation)
        other = layout_of(policy, OTHER, observation)
    fed = [THINK, *thought.tokens.tolist(), END]
    half = 0.5  # of each dimension's range of 1
    for chunk, prefix, tokens in (
        (act, layout, [ACT]),
        (follow, other, [FOLLOW]),
        (thought.action, layout, fed),
    ):
        assert chunk.tokens is None
        assert chunk.probabilities is None
        assert chunk.confidence is None
        reference = expected(checkpoint, head, observation, prefix, tokens)
        assert np.abs(chunk.values - reference).max() < bound * half


def layout_of(policy: Policy, text: str, observation: hyt.Observation) -> list[int]:
    """The prefix as the policy hands it to the core."""
    layout: list[int] = policy.prompt.layout(policy.prompt.encode(text), observation.state).tolist()
    return layout
