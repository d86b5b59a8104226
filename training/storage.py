"""What a fit leaves on disk: the checkpoint in Hugging Face layout, and the state from which it can go on.

Files are written beside their place and moved there when complete, so that a killed fit or a full disk leaves the last
good ones. Only the weights and `training.json` change from one save to the next.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from hyt.errors import CheckpointError, HytError, OutputExistsError
from hyt.export.checkpoint import ACTION_HEAD
from hyt.runtime.contract import Contract
from hyt.training.network import unwrapped

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
TRAINED = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False)

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Progress:
    """How far a fit has come."""

    step: int = 0
    positions: int = 0
    loss: float = 0.0
    """Running mean of the loss, still to be divided by 1 - 0.98 ** step."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A fresh folder beside `path` to write in; the files in it then replace those in `path`, one by one."""
    part = path / "part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        for file in sorted(part.iterdir()):
            with file.open("rb") as written:
                os.fsync(written.fileno())
        for file in sorted(part.iterdir()):
            os.replace(file, path / file.name)
    except (OSError, SafetensorError) as problem:
        raise HytError(
            f"{path}",
            expected="room to write",
            received=str(problem),
            remedy="free space and run the same command again: what was complete is kept",
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def save(
    output: Path,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    recipe: dict[str, Any],
    *,
    write: bool,
) -> None:
    """Save the state that `resume` reads; all processes call it, the one with `write` writes."""
    weights: Any = get_model_state_dict(network, options=TRAINED)
    moments: Any = get_optimizer_state_dict(network, optimizer, options=TRAINED)["state"]
    if not write:
        return
    tensors: dict[str, torch.Tensor] = {}
    for name, state in moments.items():
        tensors[f"weight/{name}"] = weights[name].contiguous()
        tensors |= {f"{moment}/{name}": state[moment].contiguous() for moment in MOMENTS}
    metadata = {"progress": json.dumps(vars(progress)), "recipe": json.dumps(recipe)}
    with writing(output / "resume") as part:
        save_file(tensors, part / "state.safetensors", metadata)


def _check_fresh(output: Path) -> None:
    """Raise OutputExistsError unless the folder is missing, or holds no more than a fit that was killed early."""
    if not output.exists():
        return
    others = sorted(set(os.listdir(output)) - {"resume", "part"}) if output.is_dir() else ["no folder"]
    if others:
        raise OutputExistsError(
            f"{output}",
            expected="a new folder, or one with a fit to go on with",
            received=", ".join(others[:3]) + (" and more" if len(others) > 3 else ""),
            remedy="name another output",
        )


def resume(
    output: Path, network: torch.nn.Module, optimizer: torch.optim.Optimizer, recipe: dict[str, Any]
) -> Progress:
    """Load what `save` wrote; a fresh Progress when there is nothing.

    Raises CheckpointError when the state is damaged, of another network, or of a recipe that draws other batches;
    OutputExistsError when there is none but a folder of other things.
    """
    path = output / "resume" / "state.safetensors"
    if not path.exists():
        _check_fresh(output)
        return Progress()
    remedy = f"name another output, or delete {output} to start anew"
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        progress, saved = Progress(**json.loads(metadata["progress"])), json.loads(metadata["recipe"])
        tensors = load_file(path)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise CheckpointError(f"{path}", expected="a saved fit", received=str(problem), remedy=remedy) from None
    asked = json.loads(json.dumps(recipe))
    for key in {**saved, **asked}:
        if saved.get(key) != asked.get(key):
            raise CheckpointError(
                f"{path}: {key}", expected=f"{asked.get(key)}, as asked", received=str(saved.get(key)), remedy=remedy
            )
    own: Any = get_model_state_dict(network, options=TRAINED)
    names = [key.removeprefix("weight/") for key in tensors if key.startswith("weight/")]
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    for name in names:
        shape = tuple(tensors[f"weight/{name}"].shape)
        if shapes.get(name) != shape:
            raise CheckpointError(
                f"{path}",
                expected="the fit of a network like this one (--size, --init, --head)",
                received=f"another's: {name} of shape {shape}, here {shapes.get(name, 'none of that name')}",
                remedy=remedy,
            )
    set_model_state_dict(network, {name: tensors[f"weight/{name}"] for name in names}, options=TRAINED)
    groups = get_optimizer_state_dict(network, optimizer, options=TRAINED)["param_groups"]
    state: Any = {name: {moment: tensors[f"{moment}/{name}"] for moment in MOMENTS} for name in names}
    set_optimizer_state_dict(network, optimizer, {"state": state, "param_groups": groups}, options=TRAINED)
    return progress


def write_checkpoint(
    output: Path, network: Any, contract: Contract, tokenizer: Any, described: dict[str, Any], *, write: bool
) -> None:
    """Write the checkpoint in Hugging Face layout, `hyt.json` and the recipe; all processes call it, one writes.

    `network` is the prepared HybridNetwork.
    """
    weights: Any = get_model_state_dict(network, options=WHOLE)
    if not write:
        return
    state, head = (
        {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
        for prefix in ("model.", "action_head.")
    )
    with writing(output) as part:
        unwrapped(network).model.save_pretrained(part, state_dict=state, safe_serialization=True, max_shard_size="1TB")
        if head:
            save_file({name: weight.contiguous() for name, weight in head.items()}, part / ACTION_HEAD)
        tokenizer.save(str(part / "tokenizer.json"))
        (part / "hyt.json").write_text(contract.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (part / "training.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
