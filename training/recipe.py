"""A recipe: all that decides the result of a fit, besides the data and the start."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hyt.errors import InputError
from hyt.training.hybrid import FollowShares, Weights


@dataclass(frozen=True)
class Recipe:
    """Budget, optimiser, objective and augmentation; the learning rate runs by the part of the budget that is spent."""

    steps: int = 3500
    positions: int = 0
    """Budget in processed positions (image, prompt and generated tokens; no padding) in place of `steps`; 0: none."""
    batch: int = 32
    """Data points a step, over all processes."""
    learning_rate: float = 1e-3
    warm_up: float = 0.05
    """The learning rate rises over this first part of the budget."""
    decay: float = 0.4
    """It falls over this last part."""
    weight_decay: float = 0.05
    clip: float = 1.0
    shift: int = 2
    """Images are moved by up to so many pixels."""
    unknown_words: float = 0.02
    """Part of instruction words that a word-level tokenizer is shown as unknown: users do not know our vocabulary."""
    smoothing: float = 0.75
    """Targets of ordered tokens are Gaussians of this width in tokens."""
    seed: int = 0
    packed: bool = False
    lora: int = 0
    """Rank of low-rank adapters to train in place of the decoder's weights, merged at the end; 0: all is trained."""
    weights: Weights = field(default_factory=Weights)
    follow: FollowShares = field(default_factory=FollowShares)

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or self.positions < 0:
            raise InputError("recipe", expected="at least one step of one data point", received=f"{self}")
        if not (self.learning_rate > 0 and self.warm_up >= 0 and self.decay >= 0 and self.warm_up + self.decay <= 1):
            raise InputError(
                "recipe",
                expected="a positive learning rate; warm-up and decay of at most 1 together",
                received=f"{self}",
            )

    def spent(self, steps: int, positions: int) -> float:
        """Part of the budget that is spent after so many steps of so many positions in all."""
        return positions / self.positions if self.positions else steps / self.steps

    def rate(self, spent: float) -> float:
        """Learning rate of the step that ends with this part of the budget spent: warm-up, constant, cosine fall."""
        if spent < self.warm_up:
            return self.learning_rate * spent / self.warm_up
        part = min(max((spent - (1 - self.decay)) / self.decay, 0.0), 1.0) if self.decay else 0.0
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))
