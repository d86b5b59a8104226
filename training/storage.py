"""What a fit leaves on disk: the checkpoint in Hugging Face layout, and the state from which it can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from hyt.runtime.contract import Contract
from hyt.training.vocabulary import Vocabulary


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
    output: Path, model: Any, contract: Contract, vocabulary: Vocabulary, described: dict[str, Any]
) -> None:
    """Write the checkpoint in Hugging Face layout plus `hyt.json` and the recipe."""
    model.save_pretrained(output, safe_serialization=True)
    vocabulary.tokenizer().save(str(output / "tokenizer.json"))
    (output / "hyt.json").write_text(contract.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (output / "training.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
