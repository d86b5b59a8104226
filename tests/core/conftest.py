"""Models that several test files share, written once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from checkpoints import AWKWARD, DEFAULT, END, Shape
from model_gguf import Files, write_gguf, write_head
from reference import Case, make_case

from hyt.runtime import _core

# Odd in other ways than AWKWARD: one head, one layer, a patch that leaves a rim of the image unused.
SINGLE = replace(
    DEFAULT, layers=1, heads=1, head_dim=16, image_size=23, patch_size=7, vision_layers=1, vocab_padding=40
)
# Many heads on few key heads, keys scaled other than by their width.
GROUPED = replace(DEFAULT, layers=4, heads=8, kv_heads=2, head_dim=12, attention_scalar=30.0, cameras=2, image_size=24,
                  patch_size=12)  # fmt: skip
SHAPES = {"default": DEFAULT, "awkward": AWKWARD, "single": SINGLE, "grouped": GROUPED}
TEXT_TOKENS = 20


class Opened:
    """A case written as GGUF files, and sessions over them."""

    def __init__(self, case: Case, files: Files) -> None:
        self.case = case
        self.files = files

    def gated_session(self, folder: Path, gate: dict[str, torch.Tensor], **changes: object) -> _core.Session:
        """A session with this gate, written as head.gguf into `folder`."""
        path = folder / "head.gguf"
        write_head(path, gate)
        return self.session(head=str(path), gate_units=len(gate["up.bias"]), **changes)

    def session(self, **changes: object) -> _core.Session:
        """A session as the case's contract asks for, on one thread (the tests share their machine)."""
        contract = self.case.contract
        settings: dict[str, object] = {
            "threads": 1,
            "image_count": len(self.case.images),
            "max_text_tokens": TEXT_TOKENS,
            "max_thought_tokens": contract["thought"]["max_tokens"],
            "action_tokens": contract["action"]["steps"] * len(contract["action"]["dimensions"]),
            "action_token_ids": contract["action"]["token_ids"],
            "thought_suppressed_ids": contract["thought"]["suppressed_ids"],
            "thought_end_id": END,
        }
        settings.update(changes)
        return _core.Session(self.files.language, self.files.vision, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def open_case(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Opened]:
    """Builds a random model of a shape and writes it; the same arguments give the same model, made once."""
    made: dict[tuple[Shape, int, str | None], Opened] = {}

    def opened(shape: Shape = DEFAULT, seed: int = 0, quantize: str | None = None) -> Opened:
        key = (shape, seed, quantize)
        if key not in made:
            case = make_case(shape, seed)
            made[key] = Opened(case, write_gguf(case.model, tmp_path_factory.mktemp("model"), quantize))
        return made[key]

    return opened
