"""Puts a fitted gate into a checkpoint: gate.safetensors, the contract's `gate`, and gate.json with the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from hyt.export.checkpoint import GATE
from hyt.runtime.contract import Gate, read_contract
from hyt.training.gate import FittedGate


def write_gate(checkpoint: Path, gate: FittedGate, described: Mapping[str, Any]) -> None:
    """Write the gate into `checkpoint`, in place of one that is there; each file is replaced whole."""
    contract = read_contract(checkpoint / "hyt.json")
    contract = contract.model_copy(update={"gate": Gate(units=gate.units, threshold=gate.threshold)})
    for name, content in (
        (GATE, save(gate.tensors)),
        ("gate.json", (json.dumps(dict(described), indent=1) + "\n").encode()),
        ("hyt.json", (contract.model_dump_json(indent=1) + "\n").encode()),
    ):
        temporary = checkpoint / f"{name}.part"
        temporary.write_bytes(content)
        os.replace(temporary, checkpoint / name)
