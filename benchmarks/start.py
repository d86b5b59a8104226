"""What loading a policy takes: the core's peak memory, seconds of each part, the first action against later ones.

    python benchmarks/start.py NAME.hyt... [--threads 1] [--repeat 3] [--json FILE]

Each policy is loaded with its weights copied and with them mapped, `--repeat` times, each in a process of its own.

Memory is the process's peak resident size beyond what it had before the core loaded, until it has acted, thought and
followed: all that the core allocates, and those pages of the files that are in the process, of which a mapped policy
keeps all that it reads, though they are page cache and the system may take them away. It is compared with the bundle's
files of weights and the cache of keys and values. What the process came to use of its libraries' own files in that
time (code and constants, the same for a policy of any size) is told beside it and not part of it.

Seconds are of `hyt.load`: the check of every hash, the core's session with all weights laid out, one answer of each
kind; the fastest of the repetitions counts, so that the files are in the page cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from command import exit_code
from rich.console import Console
from rich.table import Table

import hyt
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.bundle import Bundle, open_bundle
from hyt.runtime.cli.output import describe_bundle, machine, versions
from hyt.runtime.observation import check_observation, random_observation
from hyt.runtime.prompt import Prompt, read_tokenizer

ACTS = 9


def resident(field: str) -> int:
    """Bytes of a field of /proc/self/status: VmRSS, VmHWM."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def resident_of_libraries() -> int:
    """Bytes of shared libraries' files that are in the process, not counting pages of them that it has written to."""
    library, total = False, 0
    with Path("/proc/self/smaps").open(encoding="utf-8") as lines:
        for line in lines:
            field, *rest = line.split()
            if not field.endswith(":"):  # a mapping begins: addresses, access, offset, device, inode, path
                library = len(rest) > 4 and ".so" in Path(rest[4]).suffixes
            elif library and field in ("Rss:", "Anonymous:"):
                total += int(rest[0]) * (1024 if field == "Rss:" else -1024)
    return total


def measure_memory(bundle: Bundle, threads: int, mapped: bool) -> dict[str, Any]:
    """Peak bytes of the core alone, the tokenizer being there before, and what it is held against."""
    contract = bundle.contract
    prompt, tags = Prompt(contract, read_tokenizer(bundle.tokenizer, contract)), contract.modalities
    observation = random_observation(contract, 0)
    images = check_observation(observation, contract)
    layout = prompt.layout(prompt.encode(next(iter(contract.instructions))), observation.state)
    from hyt.runtime import _core  # its libraries are part of what was there before

    _core.system()
    libraries = resident_of_libraries()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = resident("VmRSS")
    backend = CoreBackend(bundle, threads, mapped=mapped)
    backend.observe(images, layout)
    backend.act(tags.act)
    if tags.think is not None:
        backend.think_begin(tags.think)
        backend.think(None, 2)
        backend.act_with_thought(tags.think, np.zeros(0, np.int32))
    if tags.follow is not None:
        backend.follow(layout, tags.follow)
    grown, info = resident("VmHWM") - before, backend.info()
    code = resident_of_libraries() - libraries
    backend.close()
    peak = grown - code
    files = sum(path.stat().st_size for name, path in bundle.files.items() if name.endswith(".gguf"))
    sizes = {name: info[name] for name in ("weights_bytes", "kv_bytes", "workspace_bytes")}
    share = round(peak / (files + info["kv_bytes"]), 4)
    return {"peak_bytes": peak, "code_bytes": code, "files_bytes": files, **sizes, "share": share}


def measure_seconds(path: Path, threads: int, mapped: bool) -> dict[str, float]:
    """Seconds of each part of a load, of the first action behind it and of later ones (median)."""
    start = time.monotonic()
    bundle = open_bundle(path)
    opened = time.monotonic()
    backend = CoreBackend(bundle, threads, mapped=mapped)
    loaded = time.monotonic()
    with hyt.Policy(bundle, backend) as policy:
        policy.warm_up()
        warm = time.monotonic()
        policy.reset(instruction=next(iter(bundle.contract.instructions)))
        acts = []
        for seed in range(ACTS):
            observation = random_observation(bundle.contract, seed)
            begin = time.monotonic()
            policy.act(observation)
            acts.append(time.monotonic() - begin)
    return {
        "check": opened - start,
        "load": loaded - opened,
        "warm up": warm - loaded,
        "first act": acts[0],
        "later acts": statistics.median(acts[1:]),
    }


def in_process(path: Path, threads: int, mapped: bool) -> dict[str, Any]:
    """Both measurements in a new process."""
    command = [
        sys.executable,
        __file__,
        str(path),
        "--threads",
        str(threads),
        "--child",
        "mapped" if mapped else "copied",
    ]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def fastest(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each part the fastest; the largest memory."""
    seconds = {part: round(min(run["seconds"][part] for run in runs), 4) for part in runs[0]["seconds"]}
    ratios = [run["seconds"]["first act"] / run["seconds"]["later acts"] for run in runs]
    memory = max((run["memory"] for run in runs), key=lambda memory: memory["peak_bytes"])
    return {"seconds": seconds, "first_over_later": [round(ratio, 3) for ratio in ratios], "memory": memory}


def start_table(report: dict[str, Any]) -> Table:
    """One row a way to load."""
    table = Table(title=f"{report['bundle']['name']} ({report['bundle']['quantization']})", title_justify="left")
    table.add_column("weights")
    seconds = ("check s", "load s", "warm up s", "first act", "later acts")
    for column in (*seconds, "peak MB", "of files and cache", "code MB"):
        table.add_column(column, justify="right")
    for kind, found in report["loads"].items():
        seconds, memory = found["seconds"], found["memory"]
        table.add_row(
            kind,
            *(f"{seconds[part]:.3f}" for part in ("check", "load", "warm up")),
            *(f"{seconds[part] * 1e3:.2f} ms" for part in ("first act", "later acts")),
            f"{memory['peak_bytes'] / 1e6:.1f}",
            f"{memory['share']:.2f} of {(memory['files_bytes'] + memory['kv_bytes']) / 1e6:.1f}",
            f"{memory['code_bytes'] / 1e6:.1f}",
        )
    return table


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+", metavar="NAME.hyt")
    parser.add_argument("--threads", type=int, default=1, help="(default 1)")
    parser.add_argument("--repeat", type=int, default=3, help="loads of each kind (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    parser.add_argument("--child", choices=("copied", "mapped"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        path, mapped = options.bundles[0], options.child == "mapped"
        memory = measure_memory(open_bundle(path), options.threads, mapped)
        print(json.dumps({"memory": memory, "seconds": measure_seconds(path, options.threads, mapped)}))
        return
    console, reports = Console(highlight=False, width=120, soft_wrap=True), []
    for path in options.bundles:
        described, loads = describe_bundle(open_bundle(path)), {}
        for kind in ("copied", "mapped"):
            runs = [in_process(path, options.threads, kind == "mapped") for _ in range(options.repeat)]
            loads[kind] = fastest(runs)
        reports.append({"bundle": described, "loads": loads})
        console.print(start_table(reports[-1]))
    report = {"command": "start", "threads": options.threads, "policies": reports, "versions": versions()}
    report["machine"] = machine()
    print(json.dumps(report, separators=(",", ":")))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
