"""Our INT4 products against the int8 products of a vendor's library, and against memory, in one run.

    python benchmarks/gemm.py [--threads 2] [--repeat 30] [--isa avx2] [--json FILE]

Products with many columns are compared with PyTorch's quantised linear layer, by fbgemm and oneDNN, and with its plain
int8 matrix product: the fastest of the three is the ceiling. Ours read 4-bit weights with a scale every 32 and add in
float32 between them; theirs read int8 with one scale, which is less work. Products with a single column are compared
with reading the matrix once on the same threads. Contestants take turns; each number is the best of all repetitions.

--isa avx2 or avx_vnni holds everybody to an older instruction set, as a CPU without the newer ones would.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PREFILL = ((896, 9728, 288), (4864, 896, 288), (2304, 18432, 288), (9216, 2304, 288), (256, 1280, 90), (640, 256, 90))
"""Columns, rows and positions of feed-forward matrices: 0.5B, PaliGemma-2 3B, the shipped policy."""

DECODE = ((2304, 147456), (9216, 36864))
"""Columns and rows of a matrix that no cache holds."""

ISAS = {"": ("", "", ""), "avx2": ("AVX2", "AVX2", "AVX2"), "avx_vnni": ("AVX_VNNI", "AVX2_VNNI", "AVX2")}
"""Our kernels' name, oneDNN's limit, fbgemm's limit."""

ROUNDS = 3
REST = 0.1
"""Seconds in which the OpenMP threads of the vendor's library stop looking for work and leave their cores."""


def vendor(columns: int, rows: int, count: int, threads: int, repeat: int) -> dict[str, float]:
    """Best seconds of each of PyTorch's int8 products."""
    import torch

    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", category=UserWarning)
    generator = torch.Generator().manual_seed(0)
    weight = torch.quantize_per_tensor(torch.randn(rows, columns, generator=generator), 0.02, 0, torch.qint8)
    inputs = torch.quantize_per_tensor(torch.randn(count, columns, generator=generator), 0.02, 64, torch.quint8)
    calls: dict[str, Callable[[], object]] = {}
    for engine in ("fbgemm", "onednn"):
        if engine in torch.backends.quantized.supported_engines:
            torch.backends.quantized.engine = engine
            packed = torch.ops.quantized.linear_prepack(weight, None)
            calls[engine] = lambda packed=packed: torch.ops.quantized.linear(inputs, packed, 0.1, 0)  # type: ignore[misc]
    left, right = inputs.int_repr().to(torch.int8), weight.int_repr().t().contiguous()
    calls["int8 matmul"] = lambda: torch._int_mm(left, right)
    return {name: best(call, repeat) for name, call in calls.items()}


def best(call: Callable[[], object], repeat: int) -> float:
    """Seconds of the fastest of `repeat` calls behind one that warms up."""
    call()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def prefill_rows(kernels: str, threads: int, repeat: int) -> list[dict[str, Any]]:
    """One row a shape: operations a second of ours, quantising counted, and of the vendor's best."""
    from hyt.runtime import _core

    rows = []
    for columns, outputs, count in PREFILL:
        ours, theirs = [], dict[str, float]()
        for _ in range(ROUNDS):
            time.sleep(REST)
            quantise, multiply, _, _ = _core.time_product(kernels, columns, outputs, count, threads, repeat)
            ours.append(quantise + multiply)
            for name, seconds in vendor(columns, outputs, count, threads, repeat).items():
                theirs[name] = min(seconds, theirs.get(name, seconds))
        name = min(theirs, key=lambda one: theirs[one])
        operations = 2 * columns * outputs * count
        rows.append(
            {
                "shape": [columns, outputs, count],
                "ours_ops": operations / min(ours),
                "vendor_ops": operations / theirs[name],
                "vendor": name,
                "share": theirs[name] / min(ours),
            }
        )
    return rows


def decode_rows(kernels: str, threads: int, repeat: int) -> list[dict[str, Any]]:
    """One row a shape: bytes a second of a product with one column, and of reading alone."""
    from hyt.runtime import _core

    rows = []
    for columns, outputs in DECODE:
        _, multiply, read, size = _core.time_product(kernels, columns, outputs, 1, threads, repeat)
        rows.append(
            {
                "shape": [columns, outputs, 1],
                "ours_bytes": size / multiply,
                "read_bytes": size / read,
                "share": read / multiply,
            }
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure, print two tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--isa", choices=sorted(ISAS), default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    kernels, onednn, fbgemm = ISAS[options.isa]
    if onednn:  # read when the libraries are loaded
        os.environ["ONEDNN_MAX_CPU_ISA"] = onednn
        os.environ["FBGEMM_ENABLE_INSTRUCTIONS"] = fbgemm
    from hyt.runtime import _core
    from hyt.runtime.cli.output import machine, versions

    report = {
        "command": "gemm",
        "threads": options.threads,
        "repeat": options.repeat,
        "kernels": kernels or _core.system()["kernels"][0],  # type: ignore[index]
        "prefill": prefill_rows(kernels, options.threads, options.repeat),
        "decode": decode_rows(kernels, options.threads, max(options.repeat // 3, 3)),
        "versions": versions(),
        "machine": machine(),
    }
    console = Console(highlight=False)
    prefill = Table(title=f"{report['kernels']}, {options.threads} threads", title_justify="left")
    for heading in ("columns, rows, positions", "ours GOP/s", "vendor GOP/s", "by", "ours / vendor"):
        prefill.add_column(heading, justify="right")
    for row in report["prefill"]:
        speeds = (f"{row['ours_ops'] / 1e9:.0f}", f"{row['vendor_ops'] / 1e9:.0f}", row["vendor"])
        prefill.add_row(", ".join(map(str, row["shape"])), *speeds, f"{row['share']:.0%}")
    decode = Table()
    for heading in ("columns, rows, positions", "ours GB/s", "reading GB/s", "ours / reading"):
        decode.add_column(heading, justify="right")
    for row in report["decode"]:
        speeds = (f"{row['ours_bytes'] / 1e9:.1f}", f"{row['read_bytes'] / 1e9:.1f}")
        decode.add_row(", ".join(map(str, row["shape"])), *speeds, f"{row['share']:.0%}")
    console.print(prefill, decode)
    print(json.dumps(report, separators=(",", ":")))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
