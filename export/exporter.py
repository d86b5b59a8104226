"""Turns a checkpoint into a bundle: check all, write into a fresh directory, let it act once, then rename."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gguf import GGUFWriter

from hyt.errors import CheckpointError, InputError, MissingDependencyError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families import Model, TensorPlan, load_model
from hyt.export.gguf_metadata import add_language_keys, add_vision_keys
from hyt.export.gguf_writer import Source, write_gguf
from hyt.export.head import ARCHITECTURE, Heads
from hyt.export.onnx import VARIANTS
from hyt.export.padding import pad_feed_forward
from hyt.export.quantization import Request, TypeChoice, block_size, choose_head_types, choose_types
from hyt.export.report import Report
from hyt.export.signing import SigningKey
from hyt.export.statement import Statement
from hyt.export.tokenizer_check import check_tokenizer
from hyt.export.verify import verify_bundle
from hyt.export.version import TOOL, tool_version
from hyt.runtime.bundle import describe_file
from hyt.runtime.bundle_writer import check_target, describe_files, write_bundle, write_manifest
from hyt.runtime.contract import Contract
from hyt.runtime.manifest import (
    HEAD_NAME,
    LANGUAGE_NAME,
    REPORT_NAME,
    TOKENIZER_NAME,
    VISION_NAME,
    Manifest,
    OnnxGraphs,
    Provenance,
    Quantization,
    Shapes,
    check_fit,
)

NOTHING_STATED = Statement()
GraphWriter = Callable[[Path, Shapes, Contract, dict[str, int]], OnnxGraphs]
Step = Callable[[str, int, int], None]  # what is done now, bytes done, bytes in all


def export_bundle(
    checkpoint_path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    quantization: str = "q4_0",
    embedding_type: str | None = None,
    output_type: str | None = None,
    head_quantization: str = "f32",
    statement: Statement = NOTHING_STATED,
    onnx: str | None = None,
    force: bool = False,
    signing_key: SigningKey | None = None,
    threads: int = 0,
    on_step: Step | None = None,
) -> Report:
    """Write the bundle `output` from a checkpoint directory; nothing is seen at `output` before all has succeeded.

    quantization, embedding_type, output_type, head_quantization: what its tensors are asked to be, see `Request`; what
    the model has not is refused. statement: what the checkpoint leaves open; onnx: one of VARIANTS, to write ONNX
    graphs of the same weights too; signing_key: signs the manifest; threads: 0 takes the processors this process may
    use. Raises CheckpointError, OutputExistsError, BundleError when the written bundle does not act, InputError for an
    unknown quantization, and MissingDependencyError without the package onnx where graphs are asked for.
    """
    request = Request(quantization, embedding_type, output_type, head_quantization)
    target = Path(output)
    check_target(target, force=force)
    write_graphs = _graph_writer(onnx)
    with ExitStack() as stack:
        checkpoint = stack.enter_context(Checkpoint(checkpoint_path))
        model = load_model(checkpoint, statement)
        image_tokens = {camera.name: model.shapes.vision.tokens for camera in model.contract.cameras}
        try:
            check_fit(model.contract, model.shapes, image_tokens)
        except ValueError as problem:
            raise CheckpointError(f"{checkpoint.path}: hyt.json and config.json", received=str(problem)) from None
        check_tokenizer(checkpoint.tokenizer_path, model.contract)
        heads = stack.enter_context(Heads(checkpoint, model.contract, model.shapes.text))
        if head_quantization != "f32" and not heads.plans:
            raise InputError("head quantization", expected="f32, as there is no head", received=head_quantization)
        if output_type is not None and model.shapes.text.tied_embeddings:
            raise InputError(
                "output type", expected="none: the embedding is the output matrix too", received=output_type
            )
        model, padded = pad_feed_forward(model, block_size(quantization))
        report = Report(
            command=_command(request, statement, onnx),
            name=model.contract.name,
            family=model.family,
            quantization=quantization,
            padded=list(padded),
            notes=list(model.notes),
        )
        choices = choose_types([*model.language, *model.vision], request)
        choices |= choose_head_types(heads.plans, request)
        files = _plan_files(checkpoint, model, heads, request)
        with write_bundle(target, force=force) as fresh:
            _write_weights(fresh, files, choices, report, threads or available_threads(), on_step)
            shutil.copyfile(checkpoint.tokenizer_path, fresh / TOKENIZER_NAME)
            types = {file.name: _count_types(file.plans, choices) for file in files}
            graphs = write_graphs(fresh, model.shapes, model.contract, image_tokens) if write_graphs else None
            manifest = _manifest(fresh, checkpoint, model, image_tokens, types, report)
            manifest = manifest.model_copy(update={"onnx": graphs})
            write_manifest(fresh, manifest, signing_key)
            backends = ("core",) if graphs is None else ("core", "onnx")
            report.verification = verify_bundle(fresh, threads, backends)
            (fresh / REPORT_NAME).write_text(json.dumps(report.data(), indent=1) + "\n", encoding="utf-8")
            described = {**manifest.files, REPORT_NAME: describe_file(fresh / REPORT_NAME)}
            write_manifest(fresh, manifest.model_copy(update={"files": described}), signing_key)
    return report


def _graph_writer(variant: str | None) -> GraphWriter | None:
    """What writes the ONNX graphs of a bundle, found before any work; None where none are asked for."""
    if variant is None:
        return None
    if variant not in VARIANTS:
        raise InputError("ONNX variant", expected=f"one of {', '.join(VARIANTS)}", received=repr(variant))
    try:
        from hyt.export.onnx.writer import write_onnx
    except ImportError as problem:
        raise MissingDependencyError(
            "ONNX graphs", received=str(problem), remedy="install hyt with pip install 'hyt[onnx]'"
        ) from None
    return partial(write_onnx, variant=variant)


def _command(request: Request, statement: Statement, onnx: str | None) -> str:
    options = request.options() | statement.options()
    if onnx is not None:
        options |= {"--onnx": "", "--onnx-variant": onnx}
    return f"{TOOL} CHECKPOINT -o NAME.hyt " + " ".join(
        f"{option} {value}".strip() for option, value in options.items()
    )


def available_threads() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class _File:
    """A GGUF file to write: its name in the bundle, its architecture and keys, and where its tensors come from."""

    name: str
    architecture: str
    add_keys: Callable[[GGUFWriter], None]
    source: Source
    plans: tuple[TensorPlan, ...]


def _plan_files(checkpoint: Checkpoint, model: Model, heads: Heads, request: Request) -> list[_File]:
    keys = {"name": model.contract.name, "request": request.linear}
    text, vision = model.shapes.text, model.shapes.vision
    add_language = partial(add_language_keys, text=text, **keys)
    add_vision = partial(add_vision_keys, vision=vision, **keys)
    add_heads = partial(heads.add_keys, name=model.contract.name, request=request.head)
    files = [
        _File(LANGUAGE_NAME, text.architecture, add_language, checkpoint, model.language),
        _File(VISION_NAME, "clip", add_vision, checkpoint, model.vision),
        _File(HEAD_NAME, ARCHITECTURE, add_heads, heads, heads.plans),
    ]
    return [file for file in files if file.plans]


def _write_weights(
    directory: Path,
    files: list[_File],
    choices: dict[str, TypeChoice],
    report: Report,
    threads: int,
    on_step: Step | None,
) -> None:
    total = sum(4 * math.prod(plan.shape) for file in files for plan in file.plans)
    done = 0

    def progress(name: str, size: int) -> None:
        nonlocal done
        done += size
        if on_step is not None:
            on_step(name, done, total)

    for file in files:
        path = directory / file.name
        errors = write_gguf(path, file.architecture, file.add_keys, file.source, file.plans, choices, threads, progress)
        report.add_file(file.name, file.plans, choices, errors)


def _manifest(
    directory: Path,
    checkpoint: Checkpoint,
    model: Model,
    image_tokens: dict[str, int],
    types: dict[str, dict[str, int]],
    report: Report,
) -> Manifest:
    sha256 = checkpoint.sha256()
    return Manifest(
        name=report.name,
        family=model.family,
        contract=model.contract,
        shapes=model.shapes,
        image_tokens=image_tokens,
        quantization=Quantization(
            requested=report.quantization,
            types=types,
            padded=tuple(report.padded_lines()),
            fallbacks=tuple(report.fallback_lines()),
        ),
        files=describe_files(directory),
        provenance=Provenance(tool=TOOL, version=tool_version(), checkpoint_sha256=sha256, command=report.command),
    )


def _count_types(plans: tuple[TensorPlan, ...], choices: dict[str, TypeChoice]) -> dict[str, int]:
    return dict(sorted(Counter(choices[plan.name].type for plan in plans).items()))
