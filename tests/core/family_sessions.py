"""Sessions over exported bundles of every decoder family whose matrices all lie in strips, and their inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from families import SMALL, Case, write_llava, write_paligemma, write_paligemma2
from numpy.typing import NDArray

from hyt.runtime import _core
from hyt.runtime.bundle import Bundle

# Every matrix of the decoder lies in strips, so that its operators are fused. An odd number of positions and bins.
SHAPE = replace(SMALL, hidden=96, intermediate=160, heads=6, kv_heads=2, head_dim=16, layers=3, vision_hidden=64,
                vision_intermediate=96, vision_heads=2)  # fmt: skip
FAMILIES: dict[str, Callable[[Path], Case]] = {
    "gemma": lambda path: write_paligemma(path, SHAPE),
    "gemma2": lambda path: write_paligemma2(path, SHAPE),
    "llama": lambda path: write_llava(path, "clip", "llama", SHAPE),
    "qwen2": lambda path: write_llava(path, "siglip", "qwen2", SHAPE),
    "qwen3": lambda path: write_llava(path, "clip", "qwen3", SHAPE),
}
TEXT = 5


def session(bundle: Bundle, threads: int = 1, **changes: object) -> _core.Session:
    contract = bundle.contract
    settings: dict[str, object] = {
        "threads": threads,
        "image_count": len(contract.cameras),
        "max_text_tokens": TEXT,
        "max_thought_tokens": 0,
        "action_tokens": contract.action.tokens,
        "action_token_ids": list(contract.action.token_ids),
        "thought_suppressed_ids": [],
        "thought_end_id": 0,
        **changes,
    }
    return _core.Session(str(bundle.language), str(bundle.vision), **settings)  # type: ignore[arg-type]


def layout_of(bundle: Bundle, seed: int) -> NDArray[np.int32]:
    text = np.random.default_rng(seed).integers(10, 40, TEXT - seed % 3)
    return np.array([*(-1 - i for i in range(len(bundle.contract.cameras))), *text], np.int32)
