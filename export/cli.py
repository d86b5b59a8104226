"""hyt-export: write a bundle from a checkpoint, with a progress bar, a table of its cost, one line for an error."""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hyt.arguments import Parser, above_zero, ending, whole
from hyt.errors import HytError, InputError
from hyt.export.calibration import CalibrationRequest
from hyt.export.calibration.samples import OBSERVATIONS
from hyt.export.draft import Step
from hyt.export.exporter import export_bundle
from hyt.export.families import FAMILIES
from hyt.export.memory import Peak, watched_memory
from hyt.export.onnx import VARIANTS
from hyt.export.parity import parity_table
from hyt.export.quantization import HEAD_REQUESTS, METHODS, REQUESTS
from hyt.export.quantization.mixed import Budget
from hyt.export.report import Report, megabytes
from hyt.export.signing import SigningKey
from hyt.export.statement import Statement
from hyt.export.version import TOOL, tool_version
from hyt.runtime.manifest import ACTIVATIONS
from hyt.runtime.signals import Interrupts

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code (see hyt.errors)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list_families:
        _list_families()
        return 0
    if options.checkpoint is None or options.output is None:
        parser.error("a CHECKPOINT and -o NAME.hyt are required")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        return _fail(f"--json {options.json}: no such directory to write it into", USAGE)
    if options.json is not None and options.json.exists() and not options.json.is_file():
        return _fail(f"--json {options.json}: expected an ordinary file; received something else there", USAGE)
    if not str(options.output).isprintable():
        return _fail(f"{options.output}: expected a printable name for the bundle", USAGE)
    with Interrupts() as interrupts:
        return _export(options, interrupts)


def _export(options: argparse.Namespace, interrupts: Interrupts) -> int:
    start = time.monotonic()
    try:
        signing_key = None if options.sign is None else SigningKey(options.sign)
        with watched_memory() as memory, _progress() as on_step:
            report = export_bundle(
                options.checkpoint,
                options.output,
                quantization=_quantization(options),
                embedding_type=options.embedding_type,
                output_type=options.output_type,
                head_quantization=options.head_quantization,
                onnx=options.onnx_variant if options.onnx else None,
                activations=options.activations,
                calibration=_calibration(options),
                closed_loop=options.closed_loop,
                statement=Statement(options.unnorm_key, options.step_time, options.units),
                force=options.force,
                signing_key=signing_key,
                threads=options.threads,
                on_step=on_step,
            )
        seconds = time.monotonic() - start
        if options.json is not None:
            _write_json(options.json, report, options.output, seconds, memory)
    except HytError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        return _fail(f"{error.filename or options.output}: {error.strerror or error}", HytError.exit_code)
    except KeyboardInterrupt:
        number = interrupts.first or signal.SIGINT
        return _fail(f"{ending(number)}; nothing was written", 128 + number)
    _print(report, options.output, seconds, memory)
    if signing_key is not None:
        print(f"signed by Ed25519 key {signing_key.fingerprint}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=TOOL, description="Export a HyT checkpoint as a bundle for hyt-run.")
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs="?",
        metavar="CHECKPOINT",
        help="directory with config.json, safetensors, tokenizer.json and hyt.json or norm_stats",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="NAME.hyt", help="bundle to write")
    parser.add_argument("--quantization", choices=REQUESTS, help="type of the linear matrices (default: q4_0)")
    parser.add_argument(
        "--size",
        type=int,
        metavar="BYTES",
        help="choose each matrix' type so that all tensors take no more (needs --calibration)",
    )
    parser.add_argument(
        "--bits-per-weight", type=float, metavar="BITS", help="the same, by what a weight takes on average"
    )
    parser.add_argument(
        "--embedding-type",
        choices=REQUESTS,
        metavar="TYPE",
        help="type of the token embedding (default: q8_0 beside smaller types, else that of the linear matrices)",
    )
    parser.add_argument(
        "--output-type", choices=REQUESTS, metavar="TYPE", help="the same of an output matrix that is not the embedding"
    )
    parser.add_argument(
        "--head-quantization",
        choices=HEAD_REQUESTS,
        default="f32",
        help="type of the matrices of a continuous policy's action head (default: %(default)s)",
    )
    parser.add_argument("--onnx", action="store_true", help="write ONNX graphs of the same weights too")
    parser.add_argument(
        "--onnx-variant",
        choices=VARIANTS,
        default="fused",
        help="fused: onnxruntime's own operators; qdq: standard ones and INT4 as Q/DQ, for TensorRT (default fused)",
    )
    parser.add_argument(
        "--activations",
        choices=ACTIVATIONS,
        help="what the ONNX graphs multiply quantised weights with (default int8; hyt-run tells the core)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="DATA",
        help="LeRobot data set: round by what goes into the matrices, and tell how far the answers are from float",
    )
    parser.add_argument(
        "--calibration-observations",
        type=int,
        default=OBSERVATIONS,
        metavar="N",
        help="so many to calibrate on, as many of other episodes to judge by (default: %(default)s)",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="how weights are rounded (default: with --calibration gptq to q4_0, importance to others; else plain)",
    )
    parser.add_argument(
        "--min-agreement",
        type=float,
        metavar="PART",
        help="fail where fewer action tokens of a modality, of 1, are the float policy's (needs --calibration)",
    )
    parser.add_argument(
        "--closed-loop",
        type=Path,
        metavar="RESULT.json",
        help="put into the report what hyt-train evaluate --json told of this very bundle",
    )
    parser.add_argument(
        "--list-families", action="store_true", help="list the kinds of checkpoint that can be exported"
    )
    parser.add_argument("--unnorm-key", metavar="KEY", help="data set whose statistics scale the actions (OpenVLA)")
    parser.add_argument(
        "--step-time", type=_seconds, metavar="SECONDS", help="time that one action lasts (OpenVLA: not in its files)"
    )
    parser.add_argument(
        "--units",
        type=_units,
        metavar="UNIT,UNIT",
        help="units of translation and rotation: m,rad, or 1,1 for the controller's own (OpenVLA: not in its files)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing bundle, once the new one is verified")
    parser.add_argument(
        "--sign", type=Path, metavar="KEY", help="sign the bundle with this Ed25519 private key (PEM, PKCS 8)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON too")
    parser.add_argument(
        "--threads", type=whole(1, 1024), default=0, metavar="N", help="threads (default: all processors)"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {tool_version()}")
    return parser


def _seconds(text: str) -> float:
    seconds = above_zero(text)
    if seconds > 60:
        raise argparse.ArgumentTypeError(f"expected at most 60 seconds, received {text!r}")
    return seconds


def _units(text: str) -> tuple[str, str]:
    units = tuple(text.split(","))
    if len(units) != 2 or not all(unit and unit.isprintable() for unit in units):
        raise argparse.ArgumentTypeError(f"expected two units as in m,rad, received {text!r}")
    return units[0], units[1]


def _list_families() -> None:
    for family in FAMILIES:
        print(f"{family.name:<12} {family.description}")


def _quantization(options: argparse.Namespace) -> str | Budget:
    """A type, or the budget that takes its place; raises InputError for both."""
    if options.size is None and options.bits_per_weight is None:
        return str(options.quantization or "q4_0")
    if options.quantization is not None:
        raise InputError(
            "--quantization", expected="none beside --size or --bits-per-weight", received=options.quantization
        )
    return Budget(options.size, options.bits_per_weight)


def _calibration(options: argparse.Namespace) -> CalibrationRequest | None:
    """What the options ask of calibration; raises InputError for those that mean nothing without a data set."""
    if options.calibration is None:
        if options.method not in (None, "plain") or options.min_agreement is not None:
            asked = "--min-agreement" if options.min_agreement is not None else f"--method {options.method}"
            raise InputError(asked, expected="--calibration DATA with it", received="none")
        return None
    return CalibrationRequest(
        options.calibration, options.calibration_observations, options.method, options.min_agreement
    )


@contextmanager
def _progress() -> Iterator[Step | None]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("checking", total=None)

        def on_step(name: str, done: int, total: int) -> None:
            bar.update(task, description=name, completed=done, total=total)

        yield on_step


def _print(report: Report, output: Path, seconds: float, memory: Peak) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120, soft_wrap=True, highlight=False, markup=False)
    console.print(report.table())
    for line in (*report.padded_lines(), *report.fallback_lines()):
        console.print(line)
    for judged in report.parity:
        console.print(parity_table(judged, "the float policy"))
    for note in report.notes:
        console.print(f"note: {note}")
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    console.print(f"{output}: {megabytes(size)}, loaded and acted once; {seconds:.1f} s, peak memory {_told(memory)}")


def _told(memory: Peak) -> str:
    if memory.bytes is None:
        return megabytes(_peak_memory())
    return f"{megabytes(memory.bytes)} beyond page cache ({megabytes(_peak_memory())} with the pages that were mapped)"


def _write_json(path: Path, report: Report, output: Path, seconds: float, memory: Peak) -> None:
    peaks = {"peak_memory_bytes": _peak_memory(), "peak_anonymous_bytes": memory.bytes}
    run = {"output": str(output), "seconds": round(seconds, 3), **peaks}
    path.write_text(json.dumps({**report.data(), "run": run}, indent=1) + "\n", encoding="utf-8")


def _peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _fail(line: str, code: int) -> int:
    # What a file holds must not steer the terminal.
    printable = "".join(c if c.isprintable() else "?" for c in " ".join(line.split()))
    print(f"{TOOL}: {printable}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
