"""The small heads beside the decoder: their tensors in the checkpoint, checked, and head.gguf that holds them.

A head's tensors have one prefix in head.gguf; `action.` is the head of a continuous action, from the checkpoint's
`action_head.safetensors`, which names them without the prefix (`hyt.training.continuous` writes it):

    slots.weight                          (K, hidden)       embedding of each action slot, row-major over (step, dim)
    input.norm.{weight, bias}             (dims * hidden,)  LayerNorm over the slots of one step, side by side
    input.linear.{weight, bias}           (width, dims * hidden), (width,)
    blocks.I.norm.*, blocks.I.linear.*    (width,), (width, width)
    output.norm.*, output.linear.*        (width,), (dims, width)

`gate.` is the gate (`csrc/include/hyt/gate.h`), from `gate.safetensors` (`hyt.training.gate` writes it), in float32:

    up.weight, up.bias                    (units, hidden), (units,)
    down.weight, down.bias                (units,), (1,)

`draft.` is the draft head (`csrc/include/hyt/draft_head.h`), from `draft.safetensors` (`hyt.training.draft` writes it),
in float32; C is the number of action token ids, K of tokens of a chunk:

    up.weight, up.bias                    (units, hidden), (units,)
    first.weight                          (C, units)
    down.weight, down.bias                ((K - 1) * C, units), ((K - 1) * C,)
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
from gguf import GGUFWriter
from numpy.typing import NDArray

from hyt.errors import CheckpointError
from hyt.export.checkpoint import ACTION_HEAD, DRAFT, GATE, Checkpoint, finite_rows
from hyt.export.families.base import Role, TensorPlan
from hyt.export.gguf_metadata import add_general_keys
from hyt.export.safetensors_file import SafetensorsFile, TensorEntry
from hyt.runtime.contract import Contract
from hyt.runtime.manifest import TextShapes

ARCHITECTURE = "hyt-head"
NORM_EPSILON = 1e-5
"""Of the action head's LayerNorms, as in PyTorch."""


@dataclass(frozen=True)
class Head:
    """One head: the prefix of its tensors, their plans, and the keys of head.gguf that tell its shape."""

    prefix: str
    plans: tuple[TensorPlan, ...]
    keys: Mapping[str, int | float]


class Heads:
    """The heads of a checkpoint, open for reading; raises CheckpointError when one does not fit its contract."""

    def __init__(self, checkpoint: Checkpoint, contract: Contract, text: TextShapes) -> None:
        self.path = checkpoint.path
        self.heads: list[Head] = []
        # Two heads may name their tensors alike, so a plan's source has the head's prefix here.
        self._holder: dict[str, tuple[SafetensorsFile, str]] = {}
        with ExitStack() as stack:
            for path in checkpoint.head_paths:
                file = stack.enter_context(SafetensorsFile(path))
                head = _READERS[path.name](contract, file, text.hidden_size)
                self._holder |= {head.prefix + plan.source: (file, plan.source) for plan in head.plans}
                plans = (replace(plan, source=head.prefix + plan.source) for plan in head.plans)
                self.heads.append(replace(head, plans=tuple(plans)))
            self._stack = stack.pop_all()

    def __enter__(self) -> Heads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @property
    def plans(self) -> tuple[TensorPlan, ...]:
        """Every tensor of head.gguf; none where there is no head."""
        return tuple(plan for head in self.heads for plan in head.plans)

    def read_rows(self, name: str, first: int, count: int) -> NDArray[np.float32]:
        """Rows of a tensor seen as (shape[0], rest), float32 (count, rest); raises CheckpointError unless finite."""
        file, own = self._holder[name]
        return finite_rows(file, own, first, count)

    def add_keys(self, writer: GGUFWriter, name: str, request: str) -> None:
        """The GGUF keys of head.gguf."""
        add_general_keys(writer, name, request)
        for head in self.heads:
            for key, value in head.keys.items():
                if isinstance(value, int):
                    writer.add_uint32(key, value)
                else:
                    writer.add_float32(key, value)


def _action_head(contract: Contract, file: SafetensorsFile, hidden: int) -> Head:
    """Check the tensors of the continuous action's head against the contract and the decoder's width."""
    action = contract.action
    dims = len(action.dimensions)
    found = dict(file.entries)
    width = _rows(found, "input.linear.weight")
    blocks = sum(name.startswith("blocks.") and name.endswith(".linear.weight") for name in found)
    layers = {"input": (dims * hidden, width), "output": (width, dims)}
    layers |= {f"blocks.{i}": (width, width) for i in range(blocks)}
    plans = [_plan("slots.weight", (action.size, hidden), "fixed")]
    for name, (columns, rows) in layers.items():
        plans += [_plan(f"{name}.norm.{part}", (columns,), "fixed") for part in ("weight", "bias")]
        plans.append(_plan(f"{name}.linear.weight", (rows, columns), "linear"))
        plans.append(_plan(f"{name}.linear.bias", (rows,), "fixed"))
    _check(file, found, plans)
    keys = {"hidden": hidden, "steps": action.steps, "dimensions": dims, "width": width, "blocks": blocks}
    named: dict[str, int | float] = {f"hyt.action.{key}": value for key, value in keys.items()}
    return Head("action.", tuple(plans), {**named, "hyt.action.norm_epsilon": NORM_EPSILON})


def _plan(name: str, shape: tuple[int, ...], role: Role) -> TensorPlan:
    return TensorPlan(f"action.{name}", name, shape, role, "action head")


def _rows(found: dict[str, TensorEntry], name: str) -> int:
    return found[name].shape[0] if name in found and found[name].shape else 0


def _check(file: SafetensorsFile, found: dict[str, TensorEntry], plans: list[TensorPlan]) -> None:
    shapes = {plan.source: plan.shape for plan in plans}
    for name, shape in shapes.items():
        if name not in found:
            raise CheckpointError(f"{file.path}", expected=f"tensor {name!r}", received="none")
        if found[name].shape != shape:
            raise CheckpointError(
                f"{file.path}: tensor {name!r}",
                expected=f"shape {list(shape)} by hyt.json and config.json",
                received=f"{list(found[name].shape)}",
            )
    if unknown := sorted(set(found) - set(shapes)):
        raise CheckpointError(f"{file.path}", expected="only the tensors of a head", received=f"{unknown[0][:120]!r}")


def _gate(contract: Contract, file: SafetensorsFile, hidden: int) -> Head:
    """Check the tensors of the gate against the contract and the decoder's width."""
    assert contract.gate is not None  # or its file had not been found
    shapes = gate_shapes(contract.gate.units, hidden)
    plans = [TensorPlan(f"gate.{name}", name, shape, "fixed", "gate") for name, shape in shapes.items()]
    _check(file, dict(file.entries), plans)
    return Head("gate.", tuple(plans), {})


def gate_shapes(units: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of a gate by its name in the checkpoint."""
    return {"up.weight": (units, hidden), "up.bias": (units,), "down.weight": (units,), "down.bias": (1,)}


def _draft(contract: Contract, file: SafetensorsFile, hidden: int) -> Head:
    """Check the tensors of the draft head against the contract and the decoder's width."""
    assert contract.draft is not None  # or its file had not been found
    shapes = draft_shapes(contract.draft.units, hidden, len(contract.action.token_ids), contract.action.tokens)
    plans = [TensorPlan(f"draft.{name}", name, shape, "fixed", "draft head") for name, shape in shapes.items()]
    _check(file, dict(file.entries), plans)
    return Head("draft.", tuple(plans), {})


def draft_shapes(units: int, hidden: int, choices: int, tokens: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of a draft head by its name in the checkpoint."""
    rest = (tokens - 1) * choices
    return {
        "up.weight": (units, hidden),
        "up.bias": (units,),
        "first.weight": (choices, units),
        "down.weight": (rest, units),
        "down.bias": (rest,),
    }


_READERS = {ACTION_HEAD: _action_head, GATE: _gate, DRAFT: _draft}
