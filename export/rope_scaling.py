"""Rotary positions that are scaled: what a config.json says of them, and by how much each pair of a head turns less.

transformers writes `rope_scaling`, with its kind under `rope_type` or the older `type`; version 5 writes
`rope_parameters` in its place, and `rope_theta` inside.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from hyt.runtime.contract import first_problem
from hyt.runtime.manifest import RopeScaling, TextShapes

_KIND = ("rope_type", "type")
_FIELDS = {
    "factor": "factor",
    "low_freq_factor": "low_freq_factor",
    "high_freq_factor": "high_freq_factor",
    "original_max_position_embeddings": "original_context",
}


def gather_rope(config: Any) -> Any:
    """A config with what `rope_parameters` says where it stood before; raises ValueError for a contradiction."""
    if not isinstance(config, dict) or config.get("rope_parameters") is None:
        return config
    told, found = config["rope_parameters"], {k: v for k, v in config.items() if k != "rope_parameters"}
    if not isinstance(told, dict):
        raise ValueError("rope_parameters must be an object")
    scaling = {key: value for key, value in told.items() if key != "rope_theta"}
    for key, value in (("rope_theta", told.get("rope_theta")), ("rope_scaling", scaling)):
        if not value:
            continue
        if found.get(key) not in (None, value):
            raise ValueError(f"rope_parameters must agree with {key}")
        found[key] = value
    return found


def read_rope_scaling(value: Any, known: tuple[str, ...]) -> RopeScaling | None:
    """The scaling of a config.json, None where positions are plain; raises ValueError for what is not `known`."""
    if value is None:
        return None
    stated = value if isinstance(value, dict) else {}
    rest = {key: number for key, number in stated.items() if key not in _KIND}
    kinds = [stated[key] for key in _KIND if key in stated] or [None if value is stated else value]
    kind = kinds[0]
    if stated and kinds == ["default"] and not rest:
        return None
    if kind not in known or kinds.count(kind) < len(kinds) or value is not stated:
        only = " and ".join(("plain", *known))
        raise ValueError(f"positions scaled by {str(kind)[:40]!r}, which the core does not compute: only {only} ones")
    if unknown := next((key for key in rest if key not in _FIELDS), None):
        raise ValueError(f"unknown field {str(unknown)[:40]!r} of positions scaled by {kind!r}")
    try:
        return RopeScaling.model_validate({"kind": kind} | {_FIELDS[key]: number for key, number in rest.items()})
    except ValidationError as problem:
        field, message = first_problem(problem)
        named = next((theirs for theirs, ours in _FIELDS.items() if ours == field), field)
        raise ValueError(f"{named} of positions scaled by {kind!r}: {message}") from None


def turn_divisors(text: TextShapes) -> NDArray[np.float64]:
    """By what the angle of each pair of a head is divided: (head_dim / 2).

    Llama 3 keeps short waves, divides long ones by the factor, and goes from one to the other by how often a wave turns
    within the context that the model was first trained on.
    """
    scaling, pairs = text.rope_scaling, text.head_dim // 2
    if scaling is None:
        return np.ones(pairs)
    if scaling.kind == "linear":
        return np.full(pairs, scaling.factor)
    low, high = scaling.low_freq_factor or 0.0, scaling.high_freq_factor or 1.0
    frequencies = text.rope_theta ** (-np.arange(pairs) / pairs)
    turns = (scaling.original_context or 0) * frequencies / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return np.asarray(1 / ((1 - kept) / scaling.factor + kept))
