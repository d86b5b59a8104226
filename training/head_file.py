"""Puts a fitted head into a checkpoint: its tensors, its part of the contract, and a JSON file that tells how."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from hyt.runtime.contract import Draft, Gate, read_contract


def write_head(
    checkpoint: Path,
    name: Literal["gate", "draft"],
    told: Gate | Draft,
    tensors: Mapping[str, npt.NDArray[np.float32]],
    described: Mapping[str, Any],
) -> None:
    """Write `name`.safetensors, `name`.json and hyt.json into `checkpoint`, in place of those that are there; each file
    is replaced whole."""
    contract = read_contract(checkpoint / "hyt.json").model_copy(update={name: told})
    for file, content in (
        (f"{name}.safetensors", save(dict(tensors))),
        (f"{name}.json", (json.dumps(dict(described), indent=1) + "\n").encode()),
        ("hyt.json", (contract.model_dump_json(indent=1) + "\n").encode()),
    ):
        temporary = checkpoint / f"{file}.part"
        temporary.write_bytes(content)
        os.replace(temporary, checkpoint / file)
