"""Fit a small HyT policy from random init on collected demonstrations; resumable, repeatable for one seed and thread count."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from hyt.runtime.contract import Contract
from hyt.simulation.camera import CAMERA, WorkspaceCamera
from hyt.simulation.tasks import TASKS
from hyt.simulation.thoughts import GRID, words
from hyt.training.hybrid import (
    IGNORED,
    hidden_states,
    hybrid_loss,
    normalise,
    pack,
    smoothed_targets,
    target_logits,
)
from hyt.training.model import Size, build_model, model_config
from hyt.training.quantized import Q4Simulation
from hyt.training.samples import Samples, Weights, read_split, shift
from hyt.training.vocabulary import ACTION_BINS, Vocabulary, arm_contract

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Recipe:
    """All that decides the result of a fit, besides the data."""

    steps: int = 5000
    batch: int = 32
    learning_rate: float = 1e-3
    warm_up: int = 200
    decay: float = 0.35
    """The learning rate falls over this last part of the steps."""
    weight_decay: float = 0.05
    clip: float = 1.0
    shift: int = 2
    smoothing: float = 0.75
    quantize_from: float = 1.0
    """Weights are rounded to Q4_0 in the forward pass from this part of the steps on (1: never)."""
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
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    first = resume(output / "resume", model, optimizer)
    parameters = sum(p.numel() for p in model.parameters())
    report({"decisions": len(samples), "held_out": len(held_out), "parameters": parameters, "first_step": first})
    table = smoothed_targets(
        vocabulary.size,
        [(vocabulary.first_action, ACTION_BINS), (vocabulary.first_grid, GRID)],
        recipe.smoothing,
    )
    quantization = Q4Simulation(model)
    began = time.monotonic()
    running = 0.0
    for step in range(first, recipe.steps):
        # A generator for each step, so that a resumed fit draws what an unbroken one would have drawn.
        random = np.random.default_rng([recipe.seed, step])
        quantization.switch(step >= recipe.quantize_from * recipe.steps)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        chosen = random.integers(0, len(samples), recipe.batch)
        batch = pack([samples.draw(int(i), recipe.weights, random) for i in chosen], image_tokens(recipe.size))
        weights = token_weights(batch.targets, batch.weights, contract, recipe.weights)
        batch = type(batch)(batch.ids, batch.positions, batch.branch, batch.targets, weights)
        camera = contract.cameras[0]
        pixels = normalise(shift(samples.images[chosen], recipe.shift, random), camera.mean, camera.std)
        logits = target_logits(model, hidden_states(model, pixels, batch), batch)
        loss = hybrid_loss(logits, batch, table)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        running = 0.98 * running + 0.02 * loss.item()
        if (step + 1) % 100 == 0:
            seconds = (time.monotonic() - began) / (step + 1 - first)
            report({"step": step + 1, "loss": round(running / (1 - 0.98 ** (step + 1 - first)), 4), "s_per_step": round(seconds, 3)})
        if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
            report({"step": step + 1, **validate(model, held_out, recipe, quantization)})
            save_resume(output / "resume", model, optimizer, step + 1)
            write_checkpoint(output, model, contract, vocabulary, recipe, step + 1)


def image_tokens(size: Size) -> int:
    """Number of image tokens of the one camera."""
    return (WorkspaceCamera.size // size.patch) ** 2


def token_weights(targets: torch.Tensor, weights: torch.Tensor, contract: Contract, balance: Weights) -> torch.Tensor:
    """Position weights with thought tokens (all that is no action token) weighted down."""
    actions = torch.zeros(contract.vocab_size, dtype=torch.bool)
    actions[list(contract.action.token_ids)] = True
    is_action = actions[targets.clamp(min=0)]
    return torch.where(is_action, weights, weights * balance.thought_token)


@torch.no_grad()
def validate(
    model: torch.nn.Module, samples: Samples, recipe: Recipe, quantization: Q4Simulation, limit: int = 512
) -> dict[str, float]:
    """Mean absolute action error per modality, in [-1, 1] units, on held-out episodes (teacher forced; think: given its thought).

    `thought` is the part of thought tokens predicted exactly; `q4` repeats act with weights rounded to Q4_0.
    """
    indices = np.linspace(0, len(samples) - 1, min(limit, len(samples))).astype(int)
    result: dict[str, float] = {}
    for name, rounded in (("", False), ("q4_", True)):
        with quantization.switched(rounded):
            result |= {name + key: value for key, value in _errors(model, samples, recipe, indices).items()}
    return {key: round(value, 4) for key, value in result.items()}


def _errors(model: torch.nn.Module, samples: Samples, recipe: Recipe, indices: np.ndarray[Any, Any]) -> dict[str, float]:
    contract = samples.contract
    first, bins = contract.action.token_ids[0], len(contract.action.token_ids)
    centers = np.array(contract.action.bin_centers)
    camera = contract.cameras[0]
    errors: dict[str, list[float]] = {"act": [], "think": [], "follow": []}
    right: list[float] = []
    count = len(contract.action.dimensions) * contract.action.steps
    for chosen in np.array_split(indices, max(len(indices) // 32, 1)):
        pixels = normalise(samples.images[chosen], camera.mean, camera.std)
        both = [samples.thinking(int(i), samples.instruction_ids[samples.tasks[i]][0], recipe.weights) for i in chosen]
        follow = [samples.following(int(i), samples.sub_instruction_ids[i]) for i in chosen]
        for sequences in (both, follow):
            batch = pack(sequences, image_tokens(recipe.size))
            logits = target_logits(model, hidden_states(model, pixels, batch), batch).numpy()
            targets = batch.targets[batch.targets != IGNORED].numpy()
            start = 0
            for i, sequence in zip(chosen, sequences, strict=True):
                for number, branch in enumerate(sequence.branches):
                    stop = start + len(branch.targets)
                    picked = centers[logits[stop - count : stop, first : first + bins].argmax(1)]
                    error = float(np.abs(picked - samples.actions[i].ravel())[:3].mean())
                    name = "follow" if sequences is follow else ("act", "think")[number]
                    errors[name].append(error)
                    if name == "think":
                        right.extend(logits[start : stop - count].argmax(1) == targets[start : stop - count])
                    start = stop
    return {**{name: float(np.mean(values)) for name, values in errors.items()}, "thought": float(np.mean(right))}


def resume(directory: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load model and optimiser state; returns the step to go on from (0 when there is nothing to resume)."""
    path = directory / "state.safetensors"
    if not path.exists():
        return 0
    tensors = load_file(path)
    named = dict(model.named_parameters())
    with torch.no_grad():
        for key, parameter in named.items():
            parameter.copy_(tensors[f"model/{key}"])
            optimizer.state[parameter] = {
                "step": tensors["step"].float(),
                "exp_avg": tensors[f"first/{key}"],
                "exp_avg_sq": tensors[f"second/{key}"],
            }
    return int(tensors["step"])


def save_resume(directory: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write what `resume` reads: safetensors, no pickle; replaced only when complete."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {"step": torch.tensor(step)}
    for key, parameter in model.named_parameters():
        state = optimizer.state[parameter]
        tensors |= {
            f"model/{key}": parameter.detach().contiguous(),
            f"first/{key}": state["exp_avg"].contiguous(),
            f"second/{key}": state["exp_avg_sq"].contiguous(),
        }
    save_file(tensors, directory / "state.part")
    (directory / "state.part").replace(directory / "state.safetensors")


def write_checkpoint(
    output: Path, model: Any, contract: Contract, vocabulary: Vocabulary, recipe: Recipe, step: int
) -> None:
    """Write the checkpoint in Hugging Face layout plus `hyt.json` and the recipe."""
    model.save_pretrained(output, safe_serialization=True)
    vocabulary.tokenizer().save(str(output / "tokenizer.json"))
    (output / "hyt.json").write_text(contract.model_dump_json(indent=1) + "\n", encoding="utf-8")
    described = {"step": step, **asdict(recipe)}
    (output / "training.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
