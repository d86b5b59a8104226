"""Turns a checkpoint into a bundle: check all, write into a fresh directory, let it act once, then rename.

With a calibration the float policy is written beside it first: it is asked the calibration observations, tells what
goes into its matrices, and is what the bundle is compared with on other observations before anyone can see it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path

from hyt.errors import BundleError, InputError, MissingDependencyError
from hyt.export.calibration import CalibrationRequest, read_calibration
from hyt.export.closed_loop import read_closed_loop
from hyt.export.draft import Draft, Step, count_types, open_draft
from hyt.export.gguf_writer import plainly
from hyt.export.onnx import VARIANTS
from hyt.export.parity import Parity
from hyt.export.quantization import Method, Request, block_size
from hyt.export.quantization.mixed import Budget
from hyt.export.quantization.q4_0 import TYPE as GPTQ_TYPE
from hyt.export.quantization.types import MIXED
from hyt.export.reference import Reference
from hyt.export.report import Report
from hyt.export.sensitivity import choose_mixed
from hyt.export.signing import SigningKey
from hyt.export.statement import Statement
from hyt.export.verify import verify_bundle
from hyt.export.version import TOOL
from hyt.runtime.bundle import describe_file
from hyt.runtime.bundle_writer import check_target, scratch_directory, write_bundle, write_manifest
from hyt.runtime.contract import Contract
from hyt.runtime.manifest import ACTIVATIONS, REPORT_NAME, Activations, OnnxGraphs, Quantization, Shapes

NOTHING_STATED = Statement()
MIXED_BLOCK = 32
"""To this narrow layers are padded under a budget: the smallest block that all its types but f16 divide into."""
GraphWriter = Callable[[Path, Shapes, Contract, dict[str, int]], tuple[OnnxGraphs, list[str]]]


def export_bundle(
    checkpoint_path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    quantization: str | Budget = "q4_0",
    embedding_type: str | None = None,
    output_type: str | None = None,
    head_quantization: str = "f32",
    calibration: CalibrationRequest | None = None,
    closed_loop: Path | None = None,
    statement: Statement = NOTHING_STATED,
    onnx: str | None = None,
    activations: Activations | None = None,
    force: bool = False,
    signing_key: SigningKey | None = None,
    threads: int = 0,
    on_step: Step | None = None,
) -> Report:
    """Write the bundle `output` from a checkpoint directory; nothing is seen at `output` before all has succeeded.

    quantization, embedding_type, output_type, head_quantization: what its tensors are asked to be, see `Request`; what
    the model has not is refused. A Budget in place of a quantization has each matrix' type chosen. calibration: round
    by what goes into the matrices, and compare with the float policy. closed_loop: a result of `hyt-train evaluate
    --json` about this very bundle, for its report. statement: what the checkpoint leaves open; onnx: one of VARIANTS,
    to write ONNX graphs of the same weights too; activations: int8 (the default) or float32, what those graphs multiply
    quantised weights with; signing_key: signs the manifest; threads: 0 takes the processors this process may use.

    Raises CheckpointError, OutputExistsError, DatasetError, BundleError when the written bundle does not act or agrees
    too little with the float policy, InputError for an unknown quantization, and MissingDependencyError without the
    package onnx where graphs are asked for, or without pyarrow where a data set is.
    """
    budget = quantization if isinstance(quantization, Budget) else None
    asked = MIXED if isinstance(quantization, Budget) else quantization
    request = Request(asked, embedding_type, output_type, head_quantization)
    target = Path(output)
    check_target(target, force=force)
    write_graphs = _graph_writer(onnx, activations)
    _check_calibration(request, budget, calibration)
    block = MIXED_BLOCK if budget else block_size(asked)
    with open_draft(checkpoint_path, statement, block) as draft, ExitStack() as stack:
        model = draft.model
        choices, files = draft.choose(request), draft.files(request)
        method: Method = "plain" if calibration is None else calibration.method_for(asked)
        report = Report(
            command=_command(request, budget, calibration, closed_loop, statement, onnx, activations),
            name=model.contract.name,
            family=model.family,
            quantization=asked,
            method=method,
            padded=list(draft.padded),
            notes=list(model.notes),
        )
        reference = None
        if calibration is not None:
            _check_judged(calibration, draft)
            samples = read_calibration(calibration.dataset, model.contract, calibration.observations)
            report.calibration = samples.facts
            scratch = stack.enter_context(scratch_directory(target))
            reference = Reference(draft, scratch, samples, threads, on_step)
        with write_bundle(target, force=force) as fresh:
            with nullcontext(plainly) if reference is None else reference.rounders(method) as rounder_for:
                if reference is not None and budget is not None:
                    mixed, options = choose_mixed(reference, budget, request, rounder_for)
                    choices |= mixed
                    report.options = options
                errors = draft.write(fresh, files, choices, threads, rounder_for=rounder_for, on_step=on_step)
            for file in files:
                report.add_file(file.name, file.plans, choices, errors)
            graphs = None
            if write_graphs is not None:
                graphs, notes = write_graphs(fresh, model.shapes, model.contract, draft.image_tokens)
                report.notes += notes
            record = Quantization(
                requested=asked,
                types=count_types(files, choices),
                padded=tuple(report.padded_lines()),
                fallbacks=tuple(report.fallback_lines()),
                method=method,
            )
            manifest = draft.manifest(fresh, record, report.command).model_copy(update={"onnx": graphs})
            write_manifest(fresh, manifest, signing_key)
            backends = ("core",) if graphs is None else ("core", "onnx")
            report.verification = verify_bundle(fresh, threads, backends)
            if reference is not None and calibration is not None:
                report.parity = [reference.judge(fresh, backend) for backend in backends]
                _check_agreement(target, report.parity, calibration.min_agreement)
            if closed_loop is not None:
                report.closed_loop = read_closed_loop(closed_loop, manifest)
            (fresh / REPORT_NAME).write_text(json.dumps(report.data(), indent=1) + "\n", encoding="utf-8")
            described = {**manifest.files, REPORT_NAME: describe_file(fresh / REPORT_NAME)}
            write_manifest(fresh, manifest.model_copy(update={"files": described}), signing_key)
    return report


def _graph_writer(variant: str | None, activations: Activations | None) -> GraphWriter | None:
    """What writes the ONNX graphs of a bundle, found before any work; None where none are asked for."""
    if activations is not None and activations not in ACTIVATIONS:
        raise InputError("activations", expected=f"one of {', '.join(ACTIVATIONS)}", received=repr(activations))
    if variant is None:
        if activations is not None:
            raise InputError(
                f"activations {activations}",
                expected="ONNX graphs to compute with them",
                received="none asked for",
                remedy="export with --onnx; the core is told by hyt-run --activations",
            )
        return None
    if variant not in VARIANTS:
        raise InputError("ONNX variant", expected=f"one of {', '.join(VARIANTS)}", received=repr(variant))
    try:
        from hyt.export.onnx.writer import write_onnx
    except ImportError as problem:
        raise MissingDependencyError(
            "ONNX graphs", received=str(problem), remedy="install hyt with pip install 'hyt[onnx]'"
        ) from None
    return partial(write_onnx, variant=variant, activations=activations or "int8")


def _command(
    request: Request,
    budget: Budget | None,
    calibration: CalibrationRequest | None,
    closed_loop: Path | None,
    statement: Statement,
    onnx: str | None,
    activations: str | None,
) -> str:
    options = request.options() if budget is None else request.options() | budget.options()
    if budget is not None:
        del options["--quantization"]
    if calibration is not None:
        options |= calibration.options()
    if closed_loop is not None:
        options["--closed-loop"] = "RESULT.json"
    options |= statement.options()
    if onnx is not None:
        options |= {"--onnx": "", "--onnx-variant": onnx}
    if activations is not None:
        options["--activations"] = activations
    return f"{TOOL} CHECKPOINT -o NAME.hyt " + " ".join(
        f"{option} {value}".strip() for option, value in options.items()
    )


def _check_calibration(request: Request, budget: Budget | None, calibration: CalibrationRequest | None) -> None:
    """Raise InputError for a quantisation that a calibration is needed for, or that its method is not made for."""
    if request.linear == MIXED and budget is None:
        raise InputError("quantization", expected="a Budget where types are mixed", received=repr(MIXED))
    if budget is not None and calibration is None:
        raise InputError("budget", expected="a calibration, which tells what each type costs", received="none")
    if calibration is not None and calibration.method == "gptq" and request.linear not in (GPTQ_TYPE, MIXED):
        raise InputError("method gptq", expected=f"quantization {GPTQ_TYPE} or a budget", received=request.linear)


def _check_judged(calibration: CalibrationRequest, draft: Draft) -> None:
    """Raise InputError where an agreement is asked for that can never be told."""
    if calibration.min_agreement is not None and draft.model.contract.action.kind == "continuous":
        raise InputError("min agreement", expected="a policy with action tokens", received="a continuous one")


def _check_agreement(target: Path, parity: list[Parity], least: float | None) -> None:
    for judged in parity:
        for name, modality in judged.modalities.items():
            if least is not None and modality.agreement is not None and modality.agreement < least:
                raise BundleError(
                    f"{target}: action tokens of {name}, {judged.backend}",
                    expected=f"at least {least:.2%} as the float policy's",
                    received=f"{modality.agreement:.2%}",
                    remedy="choose another --method, a larger --quantization or more bytes",
                )
