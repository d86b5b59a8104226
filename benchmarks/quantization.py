"""What each way to quantise a policy costs and keeps: a bundle for each, judged on the same held-out observations.

    python benchmarks/quantization.py CHECKPOINT DATA [--work DIR] [--json FILE]

DATA is a LeRobot data set of what the policy sees (`hyt-train collect`). Every row is what `hyt-export CHECKPOINT` with
`--calibration DATA` and the options that it names writes and compares; the float policy's answers and inputs, which do
not depend on the row, are taken once. Mixed rows get the bytes that q4_0 takes. Prints a table in Markdown, each row
once it is measured, and writes all of it as JSON. With `--work` every row is kept in a file of its own, under a hash of
all that it depends on (checkpoint, data, options, the installed package), and is not measured again: a run that was
killed goes on, and no row of other code is mistaken for one of this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from command import exit_code

import hyt
from hyt.export.calibration import read_calibration
from hyt.export.draft import Draft, count_types, open_draft
from hyt.export.exporter import MIXED_BLOCK, NOTHING_STATED
from hyt.export.families import TensorPlan
from hyt.export.inputs import GRAM_BYTES, Inputs
from hyt.export.quantization import Method, Request, Rounder, block_size, method_of, rounder_for, stored_size
from hyt.export.quantization.mixed import Budget
from hyt.export.quantization.q4_0 import TYPE
from hyt.export.quantization.types import MIXED
from hyt.export.reference import Reference
from hyt.export.sensitivity import choose_mixed
from hyt.runtime.bundle_writer import write_manifest
from hyt.runtime.manifest import Quantization
from hyt.runtime.policy import Policy

Data = dict[str, Any]


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
PARTS = ("export", "dataset", "runtime")
"""Folders of the installed package whose files decide what a row is."""


def fingerprint(files: Iterable[Path]) -> str:
    """SHA-256 of the names and bytes of files."""
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def depends_on(checkpoint: Path, data: Path) -> str:
    """A hash of the checkpoint, the data set and the code that every row depends on."""
    package = Path(hyt.__file__).parent
    code = [p for part in PARTS for p in (package / part).rglob("*") if p.suffix in (".py", ".so") and p.is_file()]
    files = [p for folder in (checkpoint, data) for p in folder.rglob("*") if p.is_file()]
    return fingerprint([*code, *files])


class Ground:
    """What rows have in common whose narrow layers are padded alike: the float policy, its answers and its inputs."""

    def __init__(
        self, stack: ExitStack, draft: Draft, data: Path, observations: int, held_out: int, threads: int
    ) -> None:
        self.draft = draft
        samples = read_calibration(data, draft.model.contract, observations, held_out)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hyt-quantization-")))
        self.reference = Reference(self.draft, folder, samples, threads)
        self._threads = threads
        backend = self.reference.open(own_kernels=False)
        policy = stack.enter_context(Policy(backend.bundle, backend))
        plans = [plan for plan in self.draft.plans if method_of(plan, TYPE, "gptq") != "plain"]
        self._inputs = Inputs(policy, backend, samples.fit, plans, gram=is_compensated, memory=GRAM_BYTES)

    def measure(self, row: Row, size: int) -> Data:
        """Write the bundle of a row, to a place that is removed afterwards, and compare it; mixed in `size` bytes."""

        def rounder(plan: TensorPlan, type: str) -> Rounder:
            return rounder_for(plan, type, row.method, self._inputs)

        request = Request(row.quantization or MIXED, row.embedding)
        files, choices = self.draft.files(request), self.draft.choose(request)
        if row.quantization is None:
            choices |= choose_mixed(self.reference, Budget(bytes=size), request, rounder)[0]
        with tempfile.TemporaryDirectory(prefix="hyt-quantization-") as folder:
            bundle = Path(folder)
            self.draft.write(bundle, files, choices, self._threads, rounder_for=rounder)
            record = Quantization(requested=request.linear, types=count_types(files, choices), method=row.method)
            write_manifest(bundle, self.draft.manifest(bundle, record, row.name))
            parity = self.reference.judge(bundle, "core")
        held = sum(stored_size(choices[plan.name].type, plan.shape) for file in files for plan in file.plans)
        return {"name": row.name, "bytes": held, "types": record.types, "parity": [parity.data()]}


def is_compensated(plan: TensorPlan) -> bool:
    """Whether GPTQ asks for the inputs' products."""
    return method_of(plan, TYPE, "gptq") == "gptq"


def kept(work: Path | None, name: str, *depends: object) -> Path | None:
    """The file of a row; None where none is kept."""
    if work is None:
        return None
    work.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(json.dumps([name, *depends], sort_keys=True).encode()).hexdigest()
    return work / f"{name.replace(', ', '-').replace(' ', '-')}-{key[:16]}.json"


def whole(file: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all."""
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(content)
    unfinished.rename(file)


def line(data: Data) -> str:
    """The row of a table in Markdown; errors of act, but for the tokens and the thoughts."""
    modalities = data["parity"][0]["modalities"]
    act = modalities["act"]
    cells = [data["name"], f"{data['bytes']:,}"]
    cells += [agreement(modalities[m]) if m in modalities else "-" for m in ("act", "think", "follow")]
    cells.append(percent(modalities["think"]["equal_thoughts"]) if "think" in modalities else "-")
    cells += [number(act["logit_error_mean"]), number(act["divergence"]), f"{1e3 * metres(act):.2f}"]
    return "| " + " | ".join(cells) + " |"


def agreement(modality: Data) -> str:
    """The part of equal action tokens and the ends of its interval."""
    if modality["agreement"] is None:
        return "-"
    low, high = modality["interval"]
    return f"{percent(modality['agreement'])} ({100 * low:.1f} to {100 * high:.1f})"


def percent(value: float | None) -> str:
    """A part for a person."""
    return "-" if value is None else f"{100 * value:.1f}%"


def number(value: float | None) -> str:
    """A small number for a person."""
    return "-" if value is None else f"{value:.2g}"


def metres(modality: Data) -> float:
    """Mean error of the dimensions in metres."""
    errors = [error["mean"] for error in modality["actions"] if error["unit"] == "m"]
    return sum(errors) / max(len(errors), 1)


def main() -> int:
    """Measure all rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--observations", type=int, default=256, help="to calibrate on (default: %(default)s)")
    parser.add_argument("--held-out", type=int, default=512, help="to judge by (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep every row here, and measure none twice")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---|" + "---:|" * (len(COLUMNS) - 1))
    base = "" if options.work is None else depends_on(options.checkpoint, options.data)
    common = {"observations": options.observations, "held_out": options.held_out, "threads": options.threads}
    sizes: dict[str, int] = {}
    grounds: dict[str, Ground] = {}
    results: list[Data] = []
    with ExitStack() as stack:
        for row in ROWS:
            size = sizes.get(row.bytes_of, 0)
            file = kept(options.work, row.name, base, asdict(row), common, size)
            if file is not None and file.exists():
                data: Data = json.loads(file.read_text(encoding="utf-8"))
            else:
                block = max(MIXED_BLOCK, block_size(row.quantization)) if row.quantization else MIXED_BLOCK
                draft = stack.enter_context(open_draft(options.checkpoint, NOTHING_STATED, block))
                padded = repr(draft.padded)
                if padded not in grounds:
                    grounds[padded] = Ground(stack, draft, options.data, **common)
                data = grounds[padded].measure(row, size)
                if file is not None:
                    whole(file, json.dumps(data).encode())
            sizes[row.name] = data["bytes"]
            results.append(data)
            print(line(data), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps({"rows": results}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
