"""Where a fit starts: a network with random weights for the simulated arm, or the weights of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForImageTextToText

from hyt.errors import CheckpointError, InputError
from hyt.export.tokenizer_check import check_tokenizer
from hyt.runtime.contract import Contract, read_contract
from hyt.runtime.manifest import MANIFEST_NAME
from hyt.simulation.camera import CAMERA, WorkspaceCamera
from hyt.simulation.tasks import TASKS
from hyt.simulation.thoughts import GRID, words
from hyt.training.continuous import ActionHead, chunked, continuous_contract, new_head, read_head
from hyt.training.families import family_of
from hyt.training.model import Size, build_model, model_config
from hyt.training.vocabulary import Vocabulary, arm_contract


@dataclass(frozen=True)
class Start:
    """A transformers model, what it means, its tokenizer, and its head where its action is continuous."""

    model: Any
    contract: Contract
    tokenizer: Tokenizer
    action_head: ActionHead | None = None


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


def random_start(size: Size, name: str, seed: int) -> Start:
    """Random weights, the same for the same seed."""
    vocabulary = make_vocabulary()
    model = build_model(model_config(size, vocabulary, WorkspaceCamera.size), vocabulary, seed)
    return Start(model, make_contract(vocabulary, name), vocabulary.tokenizer())


def named(start: Start, name: str | None) -> Start:
    """A start whose policy has another name, None for its own; raises InputError for a name that is none."""
    if name is None:
        return start
    if not 0 < len(name) <= 128 or not name.isprintable():
        raise InputError("name", expected="1 to 128 printable characters", received=repr(name)[:140])
    return replace(start, contract=start.contract.model_copy(update={"name": name}))


def checkpoint_start(path: Path) -> Start:
    """The weights of a checkpoint, its contract and tokenizer; raises CheckpointError when one cannot be used."""
    if (path / MANIFEST_NAME).exists():
        raise CheckpointError(
            f"{path}",
            expected="a checkpoint",
            received="a bundle, whose weights were rounded",
            remedy="name the checkpoint that it was exported from",
        )
    contract = read_contract(path / "hyt.json")
    check_tokenizer(path / "tokenizer.json", contract)
    model = load_model(path)
    rows = model.get_input_embeddings().weight.shape[0]
    if rows != contract.vocab_size:
        raise CheckpointError(
            f"{path}", expected=f"{contract.vocab_size} rows of the embedding, as in hyt.json", received=str(rows)
        )
    head = read_head(path, contract, model.get_input_embeddings().weight.shape[1])
    return Start(model, contract, Tokenizer.from_file(str(path / "tokenizer.json")), head)


def load_model(path: Path, dtype: torch.dtype | str = torch.float32) -> Any:
    """A model of a known family, from safetensors; `dtype` "auto" keeps its own.

    Raises CheckpointError when it cannot be read or is of another family.
    """
    try:
        family_of(AutoConfig.from_pretrained(path, local_files_only=True))
        model = AutoModelForImageTextToText.from_pretrained(
            path, dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as problem:
        raise CheckpointError(f"{path}", expected="a Hugging Face checkpoint", received=str(problem)) from None
    # Only "eager" applies the soft-cap in Gemma 2's attention.
    capped = getattr(model.config.get_text_config(), "attn_logit_softcapping", None) is not None
    model.set_attn_implementation("eager" if capped else "sdpa")
    return model


def with_action(start: Start, head: str | None, steps: int | None, seed: int) -> Start:
    """A start with the head ("tokens", "continuous") and the chunk steps asked for; None leaves what it has.

    A continuous start keeps its trained head where neither changes. Raises InputError for tokens in place of a
    continuous head: its contract has none.
    """
    contract = start.contract
    kind = contract.action.kind
    if head == "tokens" and kind == "continuous":
        raise InputError("head", expected="continuous, as the checkpoint's", received="tokens")
    if steps is not None and steps != contract.action.steps:
        contract = chunked(contract, steps)
    if head == "continuous" and kind == "tokens":
        contract = continuous_contract(contract)
    if contract is start.contract:
        return start
    hidden = start.model.get_input_embeddings().weight.shape[1]
    fresh = new_head(hidden, contract, seed) if contract.action.kind == "continuous" else None
    return replace(start, contract=contract, action_head=fresh)
