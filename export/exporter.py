"""Turns a checkpoint into a bundle: check all, write into a fresh directory, let it act once, then rename."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hyt.errors import CheckpointError, InputError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families import Model, TensorPlan, load_model
from hyt.export.gguf_metadata import add_language_keys, add_vision_keys
from hyt.export.gguf_writer import write_gguf
from hyt.export.quantization import REQUESTS, TypeChoice, choose_types
from hyt.export.report import Report
from hyt.export.tokenizer_check import check_tokenizer
from hyt.export.verify import verify_bundle
from hyt.export.version import TOOL, tool_version
from hyt.runtime.bundle import describe_file
from hyt.runtime.bundle_writer import check_target, describe_files, write_bundle, write_manifest
from hyt.runtime.manifest import (
    LANGUAGE_NAME,
    REPORT_NAME,
    TOKENIZER_NAME,
    VISION_NAME,
    Manifest,
    Provenance,
    Quantization,
    check_fit,
)

Step = Callable[[str, int, int], None]  # what is done now, bytes done, bytes in all


def export_bundle(
    checkpoint_path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    quantization: str = "q4_0",
    force: bool = False,
    threads: int = 0,
    on_step: Step | None = None,
) -> Report:
    """Write the bundle `output` from a checkpoint directory; nothing is seen at `output` before all has succeeded.

    quantization: one of REQUESTS; threads: 0 takes the processors this process may use. Raises CheckpointError,
    OutputExistsError, BundleError when the written bundle does not act, and InputError for an unknown quantization.
    """
    if quantization not in REQUESTS:
        raise InputError("quantization", expected=f"one of {', '.join(REQUESTS)}", received=repr(quantization))
    target = Path(output)
    check_target(target, force=force)
    with Checkpoint(checkpoint_path) as checkpoint:
        model = load_model(checkpoint)
        image_tokens = {camera.name: model.shapes.vision.tokens for camera in checkpoint.contract.cameras}
        try:
            check_fit(checkpoint.contract, model.shapes, image_tokens)
        except ValueError as problem:
            raise CheckpointError(f"{checkpoint.path}: hyt.json and config.json", received=str(problem)) from None
        check_tokenizer(checkpoint.tokenizer_path, checkpoint.contract)
        report = Report(
            command=f"{TOOL} CHECKPOINT -o NAME.hyt --quantization {quantization}",
            name=checkpoint.contract.name,
            family=model.family,
            quantization=quantization,
            notes=list(model.notes),
        )
        choices = choose_types([*model.language, *model.vision], quantization)
        with write_bundle(target, force=force) as fresh:
            _write_weights(fresh, checkpoint, model, choices, report, threads or available_threads(), on_step)
            shutil.copyfile(checkpoint.tokenizer_path, fresh / TOKENIZER_NAME)
            manifest = _manifest(fresh, checkpoint, model, image_tokens, choices, report)
            write_manifest(fresh, manifest)
            report.verification = verify_bundle(fresh, threads)
            (fresh / REPORT_NAME).write_text(json.dumps(report.data(), indent=1) + "\n", encoding="utf-8")
            files = {**manifest.files, REPORT_NAME: describe_file(fresh / REPORT_NAME)}
            write_manifest(fresh, manifest.model_copy(update={"files": files}))
    return report


def available_threads() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_weights(
    directory: Path,
    checkpoint: Checkpoint,
    model: Model,
    choices: dict[str, TypeChoice],
    report: Report,
    threads: int,
    on_step: Step | None,
) -> None:
    total = sum(4 * math.prod(plan.shape) for plan in (*model.language, *model.vision))
    done = 0

    def progress(name: str, size: int) -> None:
        nonlocal done
        done += size
        if on_step is not None:
            on_step(name, done, total)

    keys = {"name": report.name, "request": report.quantization}
    add_language = partial(add_language_keys, text=model.shapes.text, **keys)
    add_vision = partial(add_vision_keys, vision=model.shapes.vision, **keys)
    for file, architecture, add_keys, plans in (
        (LANGUAGE_NAME, model.shapes.text.architecture, add_language, model.language),
        (VISION_NAME, "clip", add_vision, model.vision),
    ):
        errors = write_gguf(directory / file, architecture, add_keys, checkpoint, plans, choices, threads, progress)
        report.add_file(file, plans, choices, errors)


def _manifest(
    directory: Path,
    checkpoint: Checkpoint,
    model: Model,
    image_tokens: dict[str, int],
    choices: dict[str, TypeChoice],
    report: Report,
) -> Manifest:
    types = {LANGUAGE_NAME: _count_types(model.language, choices), VISION_NAME: _count_types(model.vision, choices)}
    sha256 = checkpoint.sha256()
    return Manifest(
        name=report.name,
        family=model.family,
        contract=checkpoint.contract,
        shapes=model.shapes,
        image_tokens=image_tokens,
        quantization=Quantization(requested=report.quantization, types=types),
        files=describe_files(directory),
        provenance=Provenance(tool=TOOL, version=tool_version(), checkpoint_sha256=sha256, command=report.command),
    )


def _count_types(plans: tuple[TensorPlan, ...], choices: dict[str, TypeChoice]) -> dict[str, int]:
    return dict(sorted(Counter(choices[plan.name].type for plan in plans).items()))
