"""Every family that exports: how its random tiny checkpoint is written, and what its user must state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from checkpoints import AWKWARD
from families import EVEN, Case, write_llava, write_paligemma, write_paligemma2
from prismatic import EVEN as EVEN_TOWERS
from prismatic import write_minivla, write_openvla

from hyt.export.statement import Statement

# Of 8 pairs a head turns one is kept, one is in between and six are slowed down; a prefix is longer than 32 positions.
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "factor": 3.0}


Write = Callable[[Path], Case]
PLAIN = Statement()
STATED = Statement(step_time=0.2, units=("m", "rad"))  # what OpenVLA and MiniVLA, which have no hyt.json, leave open


@dataclass(frozen=True)
class Listed:
    """A family, by its name in the manifest, and its checkpoints.

    write:    into a folder, of widths that blocks do not divide
    write_even: the same where every matrix can be INT4
    statement: what they leave open
    """

    family: str
    write: Write
    write_even: Write
    statement: Statement = PLAIN

    @property
    def instruction(self) -> str:
        """Words that its tokenizer has."""
        return "open the drawer" if self.statement == PLAIN else "Open the drawer"


def _openvla(**layout: Any) -> Listed:
    return Listed(
        "openvla", partial(write_openvla, **layout), partial(write_openvla, widths=EVEN_TOWERS, **layout), STATED
    )


def _llava(vision: str, text: str, scaling: dict[str, object] | None = None) -> Listed:
    write = partial(write_llava, vision=vision, text=text, scaling=scaling)
    return Listed("llava", write, partial(write, shape=EVEN))


# PaliGemma 2 with thoughts is what the HyT policies are.
FAMILIES = {
    "paligemma": Listed("paligemma", write_paligemma, partial(write_paligemma, shape=EVEN)),
    "paligemma2": Listed(
        "paligemma2",
        partial(write_paligemma2, shape=replace(AWKWARD, head_dim=24)),
        partial(write_paligemma2, shape=replace(EVEN, head_dim=24)),
    ),
    "openvla": _openvla(shards=True),
    "openvla native": _openvla(layout="native", seed=1),
    "minivla": Listed("minivla", write_minivla, partial(write_minivla, widths=EVEN_TOWERS), STATED),
    **{f"llava {v} {t}": _llava(v, t) for v in ("clip", "siglip") for t in ("llama", "qwen2", "qwen3")},
    "llava clip llama, llama3 positions": _llava("clip", "llama", LLAMA3),
    "llava siglip llama, linear positions": _llava("siglip", "llama", LINEAR),
    "llava siglip qwen2, linear positions": _llava("siglip", "qwen2", LINEAR),
}
