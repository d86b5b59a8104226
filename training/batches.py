"""The batches of a fit, one for each step, the same whoever draws them: each data point has a generator of its own.

A resumed fit draws what an unbroken one would have drawn, and N processes together draw what one would have.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from hyt.errors import InputError
from hyt.training.hybrid import Composer
from hyt.training.packing import Batch, Sequence, normalise, pack
from hyt.training.recipe import Recipe
from hyt.training.samples import Example, Samples

TRIES = 10_000
"""Data points looked at for one that can be trained in a modality that is asked for."""


class Batches(torch.utils.data.Dataset[tuple[Batch, int]]):
    """Step -> this process's part of the step's batch, with the number of positions in it."""

    def __init__(self, samples: Samples, composer: Composer, recipe: Recipe, rank: int = 0, processes: int = 1) -> None:
        if recipe.batch % processes:
            raise InputError(
                f"batch of {recipe.batch}",
                expected=f"a multiple of the {processes} processes, so that each data point weighs the same",
            )
        self._samples = samples
        self._composer = composer
        self._recipe = recipe
        self._rows = range(rank, recipe.batch, processes)

    def __getitem__(self, step: int) -> tuple[Batch, int]:
        drawn = [self.draw(step, row) for row in self._rows]
        pixels = normalised_images(self._samples, np.stack([images for images, _ in drawn]))
        sequences = [sequence for _, sequence in drawn]
        return pack(sequences, pixels), sum(sequence.positions for sequence in sequences)

    def draw(self, step: int, row: int) -> tuple[npt.NDArray[np.uint8], Sequence]:
        """The images (cameras, H, W, 3) and the sequence of one data point."""
        random = np.random.default_rng([self._recipe.seed, step, row])
        example = self._choose(random)
        images = np.stack([shift(image, self._recipe.shift, random) for image in example.images])
        return images, self._composer.draw(self._with_unknown_words(example, random), random)

    def _choose(self, random: np.random.Generator) -> Example:
        for _ in range(TRIES):
            example = self._samples[int(random.integers(0, len(self._samples)))]
            if any(self._recipe.weights.of(example.thought is not None)):
                return example
        raise InputError(
            "training data",
            expected="thoughts, as the weights ask for think or follow only",
            received=f"none in {TRIES} data points",
            remedy="add thoughts or give act a weight",
        )

    def _with_unknown_words(self, example: Example, random: np.random.Generator) -> Example:
        unknown = self._samples.unknown_word
        if unknown is None or self._recipe.unknown_words <= 0:
            return example
        hidden = random.random(len(example.instruction)) < self._recipe.unknown_words
        words = [unknown if hide else word for hide, word in zip(hidden, example.instruction, strict=True)]
        return replace(example, instruction=words)


def normalised_images(samples: Samples, images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Images (B, cameras, H, W, 3) as pixels (B, cameras, 3, H, W), normalised as each camera says."""
    cameras = samples.contract.cameras
    return torch.stack([normalise(images[:, i], camera.mean, camera.std) for i, camera in enumerate(cameras)], dim=1)


def shift(image: npt.NDArray[np.uint8], most: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """An image (H, W, 3) moved by up to `most` pixels; the border is repeated."""
    if most == 0:
        return image
    height, width = image.shape[:2]
    dy, dx = random.integers(0, 2 * most + 1, 2)
    padded = np.pad(image, ((most, most), (most, most), (0, 0)), mode="edge")
    return padded[dy : dy + height, dx : dx + width]
