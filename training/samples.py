"""Decisions of a dataset as the token ids that a contract describes: kept once read, or streamed if they are many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, models

from hyt.dataset import Decision
from hyt.errors import CheckpointError, InputError
from hyt.runtime.contract import Contract, TextSegment, bin_of
from hyt.training.packing import Ids

MEMORY = 4 << 30
"""Bytes of images up to which the examples of a dataset are kept."""


class Decisions(Protocol):
    """What is read: a dataset, or any other sequence of decisions."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Decision: ...


@dataclass(frozen=True)
class Example:
    """One data point: images uint8 (cameras, H, W, 3), actions float32 (steps, D) in [-1, 1], all else token ids."""

    images: npt.NDArray[np.uint8]
    actions: npt.NDArray[np.float32]
    state_ids: Ids
    action_ids: Ids
    instruction: Ids
    thought: Ids | None
    sub_instruction: Ids | None
    motion: Ids | None
    """The part of the sub-instruction behind its last `move`, that word included."""


class Samples:
    """The examples of a dataset; reading one raises InputError when it does not fit the contract."""

    def __init__(self, dataset: Decisions, contract: Contract, tokenizer: Tokenizer, memory: int = MEMORY) -> None:
        self.dataset = dataset
        self.contract = contract
        self._tokenizer = tokenizer
        self._max_text = next(s.max_tokens for s in contract.prompt if isinstance(s, TextSegment))
        if len(dataset) == 0:
            raise CheckpointError("training data", expected="at least one decision", received="none")
        image_bytes = sum(camera.height * camera.width * 3 for camera in contract.cameras)
        self.unknown_word = _unknown_word(tokenizer)
        self._held: dict[int, Example] | None = {} if len(dataset) * image_bytes <= memory else None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Example:
        if self._held is None:
            return self._read(index)
        if index not in self._held:
            self._held[index] = self._read(index)
        return self._held[index]

    def _read(self, index: int) -> Example:
        decision = self.dataset[index]
        where = f"episode {decision.episode}, frame {decision.index}"
        thought = None
        if decision.thought is not None:
            thought = self._encode(decision.thought, f"{where}: thought", self.contract.hybrid().max_thought_tokens)
        sub_instruction = motion = None
        if thought is not None and decision.sub_instruction is not None:
            text = decision.sub_instruction
            sub_instruction = self._encode(text, f"{where}: sub-instruction", self._max_text)
            words = text.split()
            if "move" in words:
                last = len(words) - 1 - words[::-1].index("move")
                motion = self._encode(" ".join(words[last:]), f"{where}: motion", self._max_text)
        actions = unit_actions(self.contract, decision, where)
        return Example(
            images=camera_images(self.contract, decision, where),
            actions=actions,
            state_ids=state_ids(self.contract, decision, where),
            action_ids=action_ids(self.contract, actions),
            instruction=self._encode(decision.instruction, f"{where}: instruction", self._max_text),
            thought=thought,
            sub_instruction=sub_instruction,
            motion=motion,
        )

    def _encode(self, text: str, where: str, most: int) -> Ids:
        ids: Ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        if not 0 < len(ids) <= most:
            raise InputError(where, expected=f"1 to {most} tokens", received=f"{len(ids)} in {text!r}")
        return ids


def _unknown_word(tokenizer: Tokenizer) -> int | None:
    """Id for words that are not known, of a word-level tokenizer; None for others, which spell every word."""
    model = tokenizer.model
    unknown: int | None = tokenizer.token_to_id(model.unk_token) if isinstance(model, models.WordLevel) else None
    return unknown


def camera_images(contract: Contract, decision: Decision, where: str) -> npt.NDArray[np.uint8]:
    """Images (cameras, H, W, 3) in the contract's order; raises InputError for a missing camera or another shape."""
    images = []
    for camera in contract.cameras:
        image = decision.images.get(camera.name)
        expected = (camera.height, camera.width, 3)
        if camera.frames > 1:
            subject = f"{where}: camera {camera.name!r}"
            raise InputError(subject, expected="one frame: training shows no past images", received=str(camera.frames))
        if image is None or image.shape != expected or image.dtype != np.uint8:
            received = f"cameras {sorted(decision.images)}" if image is None else f"{image.dtype} {image.shape}"
            raise InputError(
                f"{where}: image of camera {camera.name!r}", expected=f"uint8 {expected}", received=received
            )
        images.append(image)
    return np.stack(images)


def state_ids(contract: Contract, decision: Decision, where: str) -> Ids:
    """One token id per state dimension, by the contract's binning."""
    spec = contract.state
    if spec is None:
        return []
    if decision.state.shape != (len(spec.dimensions),) or not np.isfinite(decision.state).all():
        raise InputError(
            f"{where}: state",
            expected=f"{len(spec.dimensions)} finite numbers",
            received=f"shape {decision.state.shape}: {decision.state.tolist()}",
        )
    return [
        spec.first_token_id + bin_of(float(value), dimension, spec.bins)
        for value, dimension in zip(decision.state, spec.dimensions, strict=True)
    ]


def unit_actions(contract: Contract, decision: Decision, where: str) -> npt.NDArray[np.float32]:
    """The action chunk (steps, D) with the contract's ranges mapped to [-1, 1], clipped."""
    spec = contract.action
    expected = (spec.steps, len(spec.dimensions))
    if decision.action.shape != expected or not np.isfinite(decision.action).all():
        raise InputError(
            f"{where}: action",
            expected=f"finite numbers of shape {expected}",
            received=f"shape {decision.action.shape}",
        )
    low = np.array([dimension.low for dimension in spec.dimensions])
    high = np.array([dimension.high for dimension in spec.dimensions])
    unit: npt.NDArray[np.float32] = np.clip(2 * (decision.action - low) / (high - low) - 1, -1, 1).astype(np.float32)
    return unit


def action_ids(contract: Contract, actions: npt.NDArray[np.float32]) -> Ids:
    """Token ids of actions (steps, D) in [-1, 1], row-major: of the nearest bin centre; none of continuous ones."""
    if contract.action.kind == "continuous":
        return []
    centers = np.array(contract.action.bin_centers)
    nearest = np.abs(actions.ravel()[:, None] - centers).argmin(-1)
    ids: Ids = np.array(contract.action.token_ids, np.int64)[nearest].tolist()
    return ids
