"""What each way to quantise a policy costs and keeps: an export for each, judged on the same held-out observations.

    python benchmarks/quantization.py CHECKPOINT DATA [--observations 256] [--json FILE]

DATA is a LeRobot data set of what the policy sees (`hyt-train collect`). Every row is `hyt-export CHECKPOINT` with
`--calibration DATA` and the options that it names; mixed rows get the bytes that q4_0 takes. Prints a table in
Markdown, each row once it is measured, and writes all of it as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyt.export.calibration import CalibrationRequest
from hyt.export.exporter import export_bundle
from hyt.export.parity import ModalityParity
from hyt.export.quantization import Method
from hyt.export.quantization.mixed import Budget
from hyt.export.report import Report


@dataclass(frozen=True)
class Row:
    """One way to quantise; `quantization` None is mixed precision within the bytes of the row named `bytes_of`."""

    name: str
    quantization: str | None
    method: Method
    embedding: str | None = None
    bytes_of: str = ""


ROWS = (
    Row("f32", "f32", "plain"),
    Row("q8_0", "q8_0", "plain"),
    Row("q6_k importance", "q6_k", "importance"),
    Row("q5_k importance", "q5_k", "importance"),
    Row("q4_1 importance", "q4_1", "importance"),
    Row("q4_k importance", "q4_k", "importance"),
    Row("iq4_nl importance", "iq4_nl", "importance"),
    Row("iq4_xs importance", "iq4_xs", "importance"),
    Row("q4_0 plain", "q4_0", "plain"),
    Row("q4_0 importance", "q4_0", "importance"),
    Row("q4_0 gptq", "q4_0", "gptq"),
    Row("q4_0 gptq, embedding q4_0", "q4_0", "gptq", embedding="q4_0"),
    Row("mixed importance", None, "importance", bytes_of="q4_0 plain"),
    Row("mixed gptq", None, "gptq", bytes_of="q4_0 plain"),
)
COLUMNS = ("", "bytes", "act", "think", "follow", "thoughts", "logit error", "divergence", "action error [mm]")


def measure(row: Row, checkpoint: Path, data: Path, observations: int, threads: int, size: int) -> Report:
    """Export in one way, to a place that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="hyt-quantization-") as folder:
        return export_bundle(
            checkpoint,
            Path(folder) / "x.hyt",
            quantization=row.quantization or Budget(bytes=size),
            embedding_type=row.embedding,
            calibration=CalibrationRequest(data, observations, row.method),
            threads=threads,
        )


def line(name: str, report: Report) -> str:
    """The row of a table in Markdown; errors of act, but for the tokens and the thoughts."""
    modalities = report.parity[0].modalities
    act = modalities["act"]
    cells = [name, f"{report.bytes:,}"]
    cells += [percent(modalities[m].agreement) if m in modalities else "-" for m in ("act", "think", "follow")]
    cells.append(percent(modalities["think"].equal_thoughts) if "think" in modalities else "-")
    cells += [number(act.logit_error_mean), number(act.divergence), f"{1e3 * metres(act):.2f}"]
    return "| " + " | ".join(cells) + " |"


def percent(value: float | None) -> str:
    """A part for a person."""
    return "-" if value is None else f"{100 * value:.1f}%"


def number(value: float | None) -> str:
    """A small number for a person."""
    return "-" if value is None else f"{value:.2g}"


def metres(modality: ModalityParity) -> float:
    """Mean error of the dimensions in metres."""
    errors = [error.mean for error in modality.actions if error.unit == "m"]
    return sum(errors) / max(len(errors), 1)


def main() -> int:
    """Measure all rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--observations", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---|" + "---:|" * (len(COLUMNS) - 1))
    sizes: dict[str, int] = {}
    results: list[dict[str, Any]] = []
    for row in ROWS:
        size = sizes.get(row.bytes_of, 0)
        report = measure(row, options.checkpoint, options.data, options.observations, options.threads, size)
        sizes[row.name] = report.bytes
        results.append({"name": row.name, **report.data()})
        print(line(row.name, report), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps({"rows": results}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
