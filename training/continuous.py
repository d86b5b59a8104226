"""Continuous actions: a whole chunk regressed from parallel action slots (OpenVLA-OFT, Kim et al. 2025).

    act:    prefix  <act>                     s1 .. sK
    think:  prefix  <think> t1 .. tn </think> s1 .. sK
    follow: prefix  <follow>                  s1 .. sK

s1 .. sK are learned embeddings, one for each number of the chunk. They and the token before them see the prefix, all
that was written and each other in both directions; the head makes the numbers from their final hidden states, the slots
of a step side by side:

    x = norm(a step's states)    h = gelu(linear(x))    h = h + gelu(linear(norm(h)))    y = linear(norm(h))

Numbers are trained by L1 against actions in [-1, 1], thoughts by cross entropy as ever. The checkpoint keeps slots and
head in `action_head.safetensors`, whose tensors `hyt.export.head` names.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional

from hyt.errors import CheckpointError
from hyt.export.checkpoint import ACTION_HEAD
from hyt.export.head import NORM_EPSILON
from hyt.runtime.contract import Contract
from hyt.training.packing import ACTION_SLOT, IGNORED, Batch, Branch, Ids

BLOCKS = 2
"""Residual blocks of a new head, as in OpenVLA-OFT; its width is the model's."""


class _Layer(torch.nn.Module):
    """LayerNorm, then a matrix with bias."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(columns, eps=NORM_EPSILON)
        self.linear = torch.nn.Linear(columns, rows)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.linear(self.norm(x))
        return y


class ActionHead(torch.nn.Module):
    """The slots and the head of a chunk of (steps, dims)."""

    def __init__(self, hidden: int, steps: int, dims: int, width: int, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.steps, self.dims = steps, dims
        self.slots = torch.nn.Embedding(steps * dims, hidden)
        self.input = _Layer(dims * hidden, width)
        self.blocks = torch.nn.ModuleList(_Layer(width, width) for _ in range(blocks))
        self.output = _Layer(width, dims)

    def embed(self, embeddings: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings (B, L, hidden) with those of the slots where ids (B, L) say so."""
        slots = ids <= ACTION_SLOT
        rows = self.slots(ACTION_SLOT - ids[slots]).to(embeddings.dtype)
        return embeddings.masked_scatter(slots[:, :, None].expand_as(embeddings), rows)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Numbers (n, steps * dims) of the slots' final hidden states (n * steps * dims, hidden)."""
        h = _gelu(self.input(states.to(self.slots.weight.dtype).reshape(-1, self.steps, self.dims * states.shape[-1])))
        for block in self.blocks:
            h = h + _gelu(block(h))
        return self.output(h).flatten(1)  # type: ignore[no-any-return]


def _gelu(x: torch.Tensor) -> torch.Tensor:
    return functional.gelu(x, approximate="tanh")


def slot_branch(tag: int, thought: Ids, numbers: list[float], *, thought_token: float, number: float) -> Branch:
    """The branch of a continuous action behind `tag` and a thought with its end (none: empty), with its weights."""
    count = len(numbers)
    return Branch(
        inputs=[tag, *thought, *(ACTION_SLOT - slot for slot in range(count))],
        targets=[*thought, *[IGNORED] * (1 + count)],
        weights=[*[thought_token] * len(thought), 0.0, *[number] * count],
        numbers=[0.0] * (1 + len(thought)) + numbers,
    )


def number_loss(numbers: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The weighted sum of |error| over numbers (n, K), in the order of their slots, by the number of sequences."""
    slots = batch.ids <= ACTION_SLOT
    errors = (numbers.float().flatten() - batch.numbers[slots]).abs()
    return (errors * batch.weights[slots]).sum() / len(batch.ids)


def new_head(hidden: int, contract: Contract, seed: int) -> ActionHead:
    """A head of random weights for a contract, the same for the same seed; slots begin as small as embeddings do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = ActionHead(hidden, contract.action.steps, len(contract.action.dimensions), hidden)
        torch.nn.init.normal_(head.slots.weight, std=0.02)
    return head


def continuous_contract(contract: Contract) -> Contract:
    """The same contract with a continuous action; its action tokens mean nothing any more and stay suppressed."""
    action = contract.action.model_copy(update={"kind": "continuous", "token_ids": (), "bin_centers": ()})
    return Contract.model_validate(contract.model_copy(update={"action": action}).model_dump())


def chunked(contract: Contract, steps: int) -> Contract:
    """The same contract with chunks of `steps`."""
    action = contract.action.model_copy(update={"steps": steps})
    return Contract.model_validate(contract.model_copy(update={"action": action}).model_dump())


def read_head(path: Path, contract: Contract, hidden: int) -> ActionHead | None:
    """The head of the checkpoint at `path`, None of one with action tokens; raises CheckpointError when it misfits."""
    if contract.action.kind == "tokens":
        return None
    file = path / ACTION_HEAD
    try:
        tensors = load_file(file)
        width = tensors["input.linear.weight"].shape[0]
        blocks = sum(name.startswith("blocks.") and name.endswith(".linear.weight") for name in tensors)
        head = ActionHead(hidden, contract.action.steps, len(contract.action.dimensions), width, blocks)
        head.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, IndexError, RuntimeError) as problem:
        received = " ".join(str(problem).split())[:200]
        raise CheckpointError(f"{file}", expected="the head of this contract's action", received=received) from None
    return head
