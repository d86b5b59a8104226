"""The contract of an OpenVLA or MiniVLA checkpoint, made of its statistics, its tokenizer and what its user states.

Actions are end-effector deltas (x, y, z, roll, pitch, yaw) and an absolute gripper, in this order. 256 bins have 255
centres: the 256th token, which only the largest value gets in training, stands for the last centre too. Dimensions that
the mask leaves out were never normalised. Units and step time stand in no checkpoint: they must be stated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families.norm_stats import Ranges, choose_ranges, read_norm_stats
from hyt.export.statement import Statement
from hyt.runtime.contract import Contract
from hyt.runtime.manifest import VisionShapes

BINS = 256
CAMERA = "primary"
_POSE = ("x", "y", "z", "roll", "pitch", "yaw")
_NAMES = (*_POSE, "gripper")
_MAX_TEXT = 160
_QUESTION = "What action should the robot take to {}?"
_CHAT = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)


@dataclass(frozen=True)
class Convention:
    """How a family asks and answers: `first` is the token before the image, `last` the one before the action."""

    first: str
    template: str
    last: str
    last_id: int | None  # where the family fixes it
    added_actions: bool  # action tokens were added to the tokenizer, else they are the last of its own


# A llama tokenizer gives id 29871 for a lone space; OpenVLA was trained with it before the action.
OPENVLA = Convention("<s>", f"In: {_QUESTION}\nOut:", "\N{LOWER ONE EIGHTH BLOCK}", 29871, added_actions=False)
_VICUNA = f"{_CHAT} USER: {_QUESTION} ASSISTANT:"
MINIVLA = Convention(
    "<|im_start|>",
    "system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    f"<|im_start|>user\n{_QUESTION}<|im_end|>\n<|im_start|>assistant",
    "\u010a",  # a newline, as byte-level tokenizers write it
    None,
    added_actions=True,
)


def build_contract(
    checkpoint: Checkpoint,
    convention: Convention,
    statement: Statement,
    vision: VisionShapes,
    vocab_size: int,
    backbone: str,
) -> tuple[Contract, list[str]]:
    """The contract and what the user must know of it; raises CheckpointError for what is missing or ambiguous."""
    ranges = choose_ranges(checkpoint, read_norm_stats(checkpoint), statement.unnorm_key)
    _check_order(checkpoint, ranges)
    step_time, units = _stated(checkpoint, statement)
    tokenizer = _tokenizer(checkpoint)
    first = _special(checkpoint, tokenizer, convention.first, None)
    last = _special(checkpoint, tokenizer, convention.last, convention.last_id)
    ids = _action_ids(checkpoint, tokenizer, convention, vocab_size)
    template = _VICUNA if backbone.startswith("vicuna") else convention.template
    edges = np.linspace(-1.0, 1.0, BINS)
    centers = [float(center) for center in (edges[:-1] + edges[1:]) / 2]
    contract = Contract.model_validate(
        {
            "name": ranges.key[:128] or "unnamed",
            "vocab_size": vocab_size,
            "cameras": [
                {
                    "name": CAMERA,
                    "height": vision.image_size,
                    "width": vision.image_size,
                    "mean": vision.image_mean,
                    "std": vision.image_std,
                }
            ],
            "state": None,
            "prompt": [
                {"kind": "token", "id": first},
                {"kind": "image", "camera": CAMERA},
                {"kind": "text", "max_tokens": _MAX_TEXT, "template": template, "lowercase": True},
            ],
            "modalities": {"act": last},
            "action": {
                "token_ids": ids,
                "bin_centers": [*centers, centers[-1]],
                "steps": 1,
                "step_time": step_time,
                "dimensions": _dimensions(ranges, units),
            },
        }
    )
    return contract, _notes(contract, ranges)


def check_own_contract(checkpoint: Checkpoint, contract: Contract) -> None:
    """Refuse a hyt.json in another order, or with ranges that none of the checkpoint's statistics has."""
    names = [d.name for d in contract.action.dimensions]
    if sorted(names) == sorted(_NAMES) and names != list(_NAMES):
        raise CheckpointError(
            f"{checkpoint.path / 'hyt.json'}: field action.dimensions",
            expected=f"the order {', '.join(_NAMES)}, in which these policies answer",
            received=", ".join(names),
            remedy="check the order of the dimensions",
        )
    statistics = read_norm_stats(checkpoint)
    if not statistics:
        return
    stated = [(d.low, d.high) for d in contract.action.dimensions]
    for key in statistics:
        ranges = choose_ranges(checkpoint, statistics, key)
        known = list(zip(ranges.low, ranges.high, strict=True))
        if len(known) == len(stated) and np.allclose(known, stated, rtol=1e-6, atol=1e-9):
            return
    raise CheckpointError(
        f"{checkpoint.path / 'hyt.json'}: field action.dimensions",
        expected=f"the ranges of one of {', '.join(statistics)}, in the order of its statistics",
        received="others",
        remedy="check the order of the dimensions",
    )


def _check_order(checkpoint: Checkpoint, ranges: Ranges) -> None:
    """Seven dimensions with the gripper last: it alone may be left out of the normalisation."""
    if len(ranges.low) != len(_NAMES):
        raise CheckpointError(
            f"{checkpoint.path}: statistics of {ranges.key!r}",
            expected=f"{len(_NAMES)} dimensions ({', '.join(_NAMES)})",
            received=str(len(ranges.low)),
            remedy="state them in a hyt.json beside the weights",
        )
    if not all(ranges.mask[:-1]):
        raise CheckpointError(
            f"{checkpoint.path}: statistics of {ranges.key!r}",
            expected=f"the order {', '.join(_NAMES)}, the gripper alone left out of the normalisation",
            received=f"mask {list(ranges.mask)}",
            remedy="state the dimensions in a hyt.json beside the weights",
        )


def _stated(checkpoint: Checkpoint, statement: Statement) -> tuple[float, tuple[str, str]]:
    for option, value, example in (
        ("--step-time", statement.step_time, "0.2 for bridge_orig, 0.05 for LIBERO"),
        ("--units", statement.units, "m,rad for bridge_orig, or 1,1 where actions are the controller's own commands"),
    ):
        if value is None:
            raise CheckpointError(
                str(checkpoint.path), expected=f"{option}, which stands in no file", received="none", remedy=example
            )
    assert statement.step_time is not None
    assert statement.units is not None
    return statement.step_time, statement.units


def _dimensions(ranges: Ranges, units: tuple[str, str]) -> list[dict[str, object]]:
    pose = {"semantics": "delta", "frame": "base", "relative_to": "observed_state"}
    gripper = {"semantics": "absolute", "frame": "gripper", "relative_to": "none"}
    dimensions = []
    for i, name in enumerate(_NAMES):
        unit = "1" if name == "gripper" else units[i // 3]
        kind = gripper if name == "gripper" else pose
        dimensions.append({"name": name, "unit": unit, "low": ranges.low[i], "high": ranges.high[i], **kind})
    return dimensions


def _notes(contract: Contract, ranges: Ranges) -> list[str]:
    dimensions = contract.action.dimensions
    notes = [
        f"actions un-normalised by {ranges.key!r}: {', '.join(_POSE)} are deltas of the end effector in the base "
        f"frame ({dimensions[0].unit}, {dimensions[3].unit}), the gripper is absolute",
        f"instructions are written in small letters, as in training; the camera {CAMERA!r} must show "
        f"{contract.cameras[0].width} x {contract.cameras[0].height} pixels",
    ]
    if still := [d.name for d in dimensions if d.low == d.high]:
        notes.append(f"never moved in {ranges.key!r}: {', '.join(still)}")
    return notes


def _tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    try:
        return Tokenizer.from_str(checkpoint.tokenizer_path.read_text(encoding="utf-8"))
    except Exception as problem:  # the tokenizers library raises bare Exception
        raise CheckpointError(
            str(checkpoint.tokenizer_path), expected="a Hugging Face tokenizer.json", received=str(problem)
        ) from None


def _special(checkpoint: Checkpoint, tokenizer: Tokenizer, token: str, expected: int | None) -> int:
    id: int | None = tokenizer.token_to_id(token)
    if id is None or (expected is not None and id != expected):
        raise CheckpointError(
            str(checkpoint.tokenizer_path),
            expected=f"token {token!r}" + ("" if expected is None else f" with id {expected}"),
            received="none" if id is None else f"id {id}",
            remedy="the tokenizer is of another policy",
        )
    return id


def _action_ids(checkpoint: Checkpoint, tokenizer: Tokenizer, convention: Convention, vocab_size: int) -> list[int]:
    """Ids of the bins from the lowest value up: the tokenizer's last 256, downwards. Padding is no part of it."""
    size = tokenizer.get_vocab_size(with_added_tokens=convention.added_actions)
    ids = list(range(size - 1, size - 1 - BINS, -1))
    if convention.added_actions:
        tokens = [tokenizer.id_to_token(id) for id in reversed(ids)]
        if tokens not in ([f"<|extra_{i}|>" for i in range(BINS)], [f"<extra_{i}>" for i in range(BINS)]):
            raise CheckpointError(
                str(checkpoint.tokenizer_path),
                expected=f"{BINS} added tokens <|extra_0|> ... at its end",
                received=f"{tokens[0]!r} to {tokens[-1]!r}",
            )
        return ids
    padding = checkpoint.config.get("pad_to_multiple_of", 64)
    if vocab_size - padding != size:
        raise CheckpointError(
            f"{checkpoint.path}: vocabulary",
            expected=f"{vocab_size - padding} tokens in the tokenizer ({vocab_size} rows less {padding} of padding)",
            received=str(size),
            remedy="the action tokens would be shifted: check tokenizer.json and pad_to_multiple_of",
        )
    return ids
