"""Fit a small HyT policy from random init on demonstrations; resumable, and repeatable at one thread count."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hyt.runtime.contract import Contract
from hyt.simulation.camera import CAMERA, WorkspaceCamera
from hyt.simulation.tasks import TASKS
from hyt.simulation.thoughts import GRID, words
from hyt.training.hybrid import (
    hidden_states,
    hybrid_loss,
    normalise,
    pack,
    smoothed_targets,
    target_logits,
)
from hyt.training.model import Size, build_model, model_config
from hyt.training.samples import Weights, image_tokens, read_split, shift, token_weights
from hyt.training.storage import resume, save_resume, write_checkpoint
from hyt.training.validation import validate
from hyt.training.vocabulary import ACTION_BINS, Vocabulary, arm_contract

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Recipe:
    """All that decides the result of a fit, besides the data."""

    steps: int = 3500
    batch: int = 32
    learning_rate: float = 1e-3
    warm_up: int = 200
    decay: float = 0.4
    """The learning rate falls over this last part of the steps."""
    weight_decay: float = 0.05
    clip: float = 1.0
    shift: int = 2
    smoothing: float = 0.75
    seed: int = 0
    threads: int = 2
    size: Size = field(default_factory=Size)
    weights: Weights = field(default_factory=Weights)

    def rate(self, step: int) -> float:
        """Learning rate at a step: warm-up, constant, cosine fall."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        start = (1 - self.decay) * self.steps
        part = min(max((step - start) / (self.steps - start), 0.0), 1.0)
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * part))))


def make_vocabulary() -> Vocabulary:
    """The vocabulary of the simulated arm's instructions and thoughts."""
    spoken = {word for task in TASKS.values() for text in task.instructions for word in text.split()}
    return Vocabulary(words=tuple(sorted(spoken | set(words()))), grid=GRID)


def make_contract(vocabulary: Vocabulary, name: str) -> Contract:
    """The contract of a policy for the simulated arm."""
    return arm_contract(
        vocabulary,
        name=name,
        camera=CAMERA,
        image_size=WorkspaceCamera.size,
        instructions=[task.instructions[0] for task in TASKS.values()],
    )


def fit(data: Path, output: Path, recipe: Recipe, *, name: str, save_every: int = 500, report: Report) -> None:
    """Fit on `data` and write the checkpoint `output`; continues from `output/resume` when that is there."""
    torch.set_num_threads(recipe.threads)
    torch.set_flush_denormal(True)
    vocabulary = make_vocabulary()
    contract = make_contract(vocabulary, name)
    tokenizer = vocabulary.tokenizer()
    samples, held_out = read_split(data, contract, tokenizer)
    model = build_model(model_config(recipe.size, vocabulary, WorkspaceCamera.size), vocabulary, recipe.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    first = resume(output / "resume", model, optimizer)
    parameters = sum(p.numel() for p in model.parameters())
    report({"decisions": len(samples), "held_out": len(held_out), "parameters": parameters, "first_step": first})
    table = smoothed_targets(
        vocabulary.size,
        [(vocabulary.first_action, ACTION_BINS), (vocabulary.first_grid, GRID)],
        recipe.smoothing,
    )
    began = time.monotonic()
    running = 0.0
    for step in range(first, recipe.steps):
        # A generator for each step, so that a resumed fit draws what an unbroken one would have drawn.
        random = np.random.default_rng([recipe.seed, step])
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        chosen = random.integers(0, len(samples), recipe.batch)
        sequences = [samples.draw(int(index), recipe.weights, random) for index in chosen]
        batch = pack(sequences, image_tokens(contract, recipe.size.patch))
        weights = token_weights(batch.targets, batch.weights, contract, recipe.weights)
        batch = replace(batch, weights=weights)
        camera = contract.cameras[0]
        pixels = normalise(shift(samples.images[chosen], recipe.shift, random), camera.mean, camera.std)
        logits = target_logits(model, hidden_states(model, pixels, batch), batch)
        loss = hybrid_loss(logits, batch, table)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        running = 0.98 * running + 0.02 * loss.item()
        if (step + 1) % max(save_every // 5, 1) == 0:
            seconds = (time.monotonic() - began) / (step + 1 - first)
            loss_now = running / (1 - 0.98 ** (step + 1 - first))
            report({"step": step + 1, "loss": round(loss_now, 4), "s_per_step": round(seconds, 3)})
        if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
            report({"step": step + 1, **validate(model, held_out)})
            save_resume(output / "resume", model, optimizer, step + 1)
            write_checkpoint(output, model, contract, vocabulary, {"step": step + 1, **asdict(recipe)})
