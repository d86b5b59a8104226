"""Fit a policy on demonstrations: resumable, repeatable at one thread count, on one process or many by accelerate."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch.utils.data import DataLoader

from hyt.dataset import Dataset
from hyt.errors import HytError, InputError
from hyt.training.batches import Batches
from hyt.training.families import family_of
from hyt.training.hybrid import Composer
from hyt.training.lora import Lora
from hyt.training.loss import SmoothedCrossEntropy
from hyt.training.network import HybridNetwork
from hyt.training.recipe import Recipe
from hyt.training.samples import MEMORY, Samples
from hyt.training.start import Start
from hyt.training.storage import Progress, resume, save, write_checkpoint
from hyt.training.validation import validate
from hyt.training.vocabulary import ordered_ids

Report = Callable[[dict[str, Any]], None]

FREE = ("steps", "positions", "learning_rate")
"""Fields of a recipe that a resumed fit may change: they decide how long and how fast, not what is drawn."""

FORGET = 0.98
"""The reported loss is a running mean with this memory."""


def fit(
    data: Dataset,
    output: Path,
    start: Start,
    recipe: Recipe,
    *,
    save_every: int = 500,
    workers: int = 0,
    memory: int = MEMORY,
    report: Report,
) -> None:
    """Fit `start` on `data` and write the checkpoint `output`; goes on from `output/resume` when that is there.

    Every `save_every` steps, and at the end, the fit is validated on held-out episodes and saved. `workers` processes
    read ahead (0: none); data of up to `memory` bytes of images are kept once read.
    """
    torch.set_flush_denormal(True)
    # Some of a vision tower is not used: LLaVA takes the features before the last layer.
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
    main, sharded = accelerator.is_main_process, accelerator.distributed_type == DistributedType.FSDP
    say: Report = report if main else lambda _: None
    contract, tokenizer = start.contract, start.tokenizer
    parts = data.split()
    fitted = Samples(parts[0], contract, tokenizer, memory)
    held_out = Samples(parts[1], contract, tokenizer, memory) if len(parts[1]) else None
    lora = Lora(start.model, contract, recipe.lora, recipe.seed) if recipe.lora else None
    model = lora.model if lora is not None else start.model
    if lora is not None and sharded:
        raise InputError(
            "--lora", expected="all of the model on each device", received="FSDP", remedy="use one of both"
        )
    image_tokens = family_of(model.config).image_tokens(model.config)
    composer = Composer(contract, image_tokens, recipe.weights, recipe.follow, recipe.packed)
    cross_entropy = SmoothedCrossEntropy(ordered_ids(contract, tokenizer), recipe.smoothing)
    network: Any = HybridNetwork(model, cross_entropy, start.action_head).train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    parameters = sum(parameter.numel() for parameter in trained)
    adam = torch.optim.AdamW(trained, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    network, optimizer = accelerator.prepare(network, adam)
    fixed = {key: value for key, value in asdict(recipe).items() if key not in FREE}
    if contract.action.kind == "continuous":
        fixed["head"] = f"continuous, chunks of {contract.action.steps}"
    progress = resume(output, network, adam, fixed)
    first = progress.step
    say({"decisions": len(fitted), "held_out": len(parts[1]), "parameters": parameters, "first_step": first})
    batches = Batches(fitted, composer, recipe, accelerator.process_index, accelerator.num_processes)
    loader = DataLoader(batches, batch_size=None, sampler=itertools.count(first), num_workers=workers)
    began = time.monotonic()
    ahead = iter(loader)
    while recipe.spent(progress.step, progress.positions) < 1:
        tensors, mine = next(ahead)
        positions = progress.positions + int(_over_processes(accelerator, float(mine), "sum"))
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(recipe.spent(progress.step + 1, positions))
        loss = network(*(tensor.to(accelerator.device) for tensor in tensors))
        value = _over_processes(accelerator, loss.item(), "mean")
        optimizer.zero_grad()
        accelerator.backward(loss)
        norm = float(accelerator.clip_grad_norm_(network.parameters(), recipe.clip))
        check_finite(progress.step + 1, value, norm)
        optimizer.step()
        progress = Progress(progress.step + 1, positions, FORGET * progress.loss + (1 - FORGET) * value)
        step, done = progress.step, recipe.spent(progress.step, positions) >= 1
        if step % max(save_every // 5, 1) == 0 or done:
            seconds = (time.monotonic() - began) / (step - first)
            mean = progress.loss / (1 - FORGET**step)
            say({"step": step, "positions": positions, "loss": round(mean, 4), "s_per_step": round(seconds, 3)})
        if step % save_every == 0 or done:
            if held_out is not None:
                errors = validate(network, held_out, composer, accelerator.device, quantised=not sharded)
                say({"step": step, **errors})
            save(output, network, adam, progress, fixed, write=main)
            if lora is not None:
                if not done:
                    continue
                lora.merge()
            described = {**vars(progress), **asdict(recipe)}
            write_checkpoint(output, network, contract, tokenizer, described, write=main)
    accelerator.wait_for_everyone()


def check_finite(step: int, loss: float, norm: float) -> None:
    """Raise HytError when the loss or the gradient of a step is no number, before it reaches the weights."""
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise HytError(
            f"fit at step {step}",
            expected="a finite loss and gradient",
            received=f"loss {loss}, gradient norm {norm}",
            remedy="lower the learning rate and run again: it goes on from the last save",
        )


def _over_processes(accelerator: Accelerator, value: float, reduction: str) -> float:
    """The sum or mean of a number over all processes."""
    if accelerator.num_processes == 1:
        return value
    number = torch.tensor(value, dtype=torch.float64, device=accelerator.device)
    return float(accelerator.reduce(number, reduction))
