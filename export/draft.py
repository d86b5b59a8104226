"""A checkpoint that was checked as a whole and can be written as a bundle of any types."""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gguf import GGUFWriter

from hyt.errors import CheckpointError, InputError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families import Model, TensorPlan, load_model
from hyt.export.gguf_metadata import add_language_keys, add_vision_keys
from hyt.export.gguf_writer import RounderFor, Source, plainly, write_gguf
from hyt.export.head import ARCHITECTURE, Heads
from hyt.export.padding import Padding, pad_feed_forward
from hyt.export.quantization import ErrorSum, Request, TypeChoice, choose_head_types, choose_types
from hyt.export.quantization.types import MIXED
from hyt.export.statement import Statement
from hyt.export.tokenizer_check import check_tokenizer
from hyt.export.version import TOOL, tool_version
from hyt.runtime.bundle_writer import describe_files
from hyt.runtime.manifest import (
    HEAD_NAME,
    LANGUAGE_NAME,
    TOKENIZER_NAME,
    VISION_NAME,
    Manifest,
    Provenance,
    Quantization,
    check_fit,
    image_tokens_of,
)

Step = Callable[[str, int, int], None]
"""What is done now, how much of it (bytes or observations), of how much in all."""


@dataclass(frozen=True)
class WeightFile:
    """A GGUF file to write: its name in the bundle, its architecture and keys, and where its tensors come from."""

    name: str
    architecture: str
    add_keys: Callable[[GGUFWriter], None]
    source: Source
    plans: tuple[TensorPlan, ...]


class Draft:
    """An open checkpoint with its model; made by `open_draft`."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        model: Model,
        heads: Heads,
        image_tokens: dict[str, int],
        padded: tuple[Padding, ...],
    ) -> None:
        self.checkpoint = checkpoint
        self.model = model
        self.heads = heads
        self.image_tokens = image_tokens
        self.padded = padded
        self._sha256: str | None = None

    @property
    def plans(self) -> tuple[TensorPlan, ...]:
        """The tensors of the language and the vision part."""
        return (*self.model.language, *self.model.vision)

    def files(self, request: Request) -> list[WeightFile]:
        """The weight files of the bundle, in the order in which they are written."""
        text, vision, name = self.model.shapes.text, self.model.shapes.vision, self.model.contract.name
        keys = {"name": name, "request": request.linear}
        add_language = partial(add_language_keys, text=text, **keys)
        add_vision = partial(add_vision_keys, vision=vision, **keys)
        add_heads = partial(self.heads.add_keys, name=name, request=request.head)
        files = [
            WeightFile(LANGUAGE_NAME, text.architecture, add_language, self.checkpoint, self.model.language),
            WeightFile(VISION_NAME, "clip", add_vision, self.checkpoint, self.model.vision),
            WeightFile(HEAD_NAME, ARCHITECTURE, add_heads, self.heads, self.heads.plans),
        ]
        return [file for file in files if file.plans]

    def choose(self, request: Request) -> dict[str, TypeChoice]:
        """The type of every tensor by its GGUF name, under a budget only of the heads.

        Raises InputError where the model lacks what is asked for.
        """
        if request.head != "f32" and not self.heads.plans:
            raise InputError("head quantization", expected="f32, as there is no head", received=request.head)
        if request.output is not None and self.model.shapes.text.tied_embeddings:
            raise InputError(
                "output type", expected="none: the embedding is the output matrix too", received=request.output
            )
        own = {} if request.linear == MIXED else choose_types(self.plans, request)
        return own | choose_head_types(self.heads.plans, request)

    def write(
        self,
        directory: Path,
        files: list[WeightFile],
        choices: Mapping[str, TypeChoice],
        threads: int,
        *,
        rounder_for: RounderFor = plainly,
        on_step: Step | None = None,
    ) -> dict[str, ErrorSum]:
        """Write the weight files and the tokenizer; the error of each tensor. Raises CheckpointError.

        threads: 0 takes the processors this process may use.
        """
        total = sum(4 * math.prod(plan.shape) for file in files for plan in file.plans)
        done = 0

        def progress(name: str, size: int) -> None:
            nonlocal done
            done += size
            if on_step is not None:
                on_step(name, done, total)

        errors: dict[str, ErrorSum] = {}
        for file in files:
            path = directory / file.name
            arguments = (file.source, file.plans, choices, threads or available_threads(), progress, rounder_for)
            errors |= write_gguf(path, file.architecture, file.add_keys, *arguments)
        shutil.copyfile(self.checkpoint.tokenizer_path, directory / TOKENIZER_NAME)
        return errors

    def manifest(self, directory: Path, quantization: Quantization, command: str) -> Manifest:
        """The manifest of what was written to `directory`."""
        if self._sha256 is None:
            self._sha256 = self.checkpoint.sha256()
        return Manifest(
            name=self.model.contract.name,
            family=self.model.family,
            contract=self.model.contract,
            shapes=self.model.shapes,
            image_tokens=self.image_tokens,
            quantization=quantization,
            files=describe_files(directory),
            provenance=Provenance(tool=TOOL, version=tool_version(), checkpoint_sha256=self._sha256, command=command),
        )


@contextmanager
def open_draft(checkpoint_path: str | os.PathLike[str], statement: Statement, block: int) -> Iterator[Draft]:
    """Open a checkpoint and check all of it; raises CheckpointError.

    statement: what the checkpoint leaves open and its user says; block: elements that the blocks of linear matrices
    hold, to which narrow layers are padded
    """
    with Checkpoint(checkpoint_path) as checkpoint:
        model = load_model(checkpoint, statement)
        image_tokens = image_tokens_of(model.contract, model.shapes.vision)
        try:
            check_fit(model.contract, model.shapes, image_tokens)
        except ValueError as problem:
            raise CheckpointError(f"{checkpoint.path}: hyt.json and config.json", received=str(problem)) from None
        check_tokenizer(checkpoint.tokenizer_path, model.contract)
        with Heads(checkpoint, model.contract, model.shapes.text) as heads:
            model, padded = pad_feed_forward(model, block)
            yield Draft(checkpoint, model, heads, image_tokens, padded)


def available_threads() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_types(files: Sequence[WeightFile], choices: Mapping[str, TypeChoice]) -> dict[str, dict[str, int]]:
    """How many tensors of each file have which type."""
    return {file.name: dict(sorted(Counter(choices[plan.name].type for plan in file.plans).items())) for file in files}
