"""Export a random policy of a published size, let it act, and say what that takes: time, memory, bytes.

    python benchmarks/export_big.py paligemma2-3b --work DIR [--json FILE] [--export=OPTION ...]
    python benchmarks/export_big.py openvla-7b --work DIR
    python benchmarks/export_big.py 0.5b --work DIR --calibration 4

DIR needs 9 GB free for the first, 20 GB for the second and 4 GB for the third; all is removed at the end, unless
--keep. The export is watched from outside (RssAnon in /proc) beside its own count. `--calibration N` calibrates it on N
observations of noise and judges it by as many. The policy then acts with its weights copied, as `hyt-run` does, and
mapped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from command import exit_code

import hyt
from hyt.dataset import CameraInfo, DatasetWriter, Episode, Layout, VectorInfo, encode_png
from hyt.export.memory import anonymous_memory, watched_memory
from hyt.runtime.cli.output import machine, versions, write_json
from hyt.runtime.contract import Contract

HERE = Path(__file__).parent
MAKE = {
    "0.5b": ["make_random_checkpoint.py", "--shape", "0.5b"],
    "paligemma2-3b": ["make_random_checkpoint.py", "--shape", "paligemma2-3b"],
    "openvla-7b": ["make_random_openvla.py"],
}
EXPORT = {"0.5b": [], "paligemma2-3b": [], "openvla-7b": ["--step-time", "0.2", "--units", "m,rad"]}
LIMIT = 4 * 2**30


def run_watched(command: list[str]) -> tuple[float, int]:
    """Run a program to its end; seconds, and the largest RssAnon in bytes that was seen from outside."""
    start, peak = time.monotonic(), 0
    program = subprocess.Popen(command)
    while program.poll() is None:
        peak = max(peak, anonymous_memory(program.pid) or 0)
        time.sleep(0.02)
    if program.returncode:
        raise SystemExit(program.returncode)
    return time.monotonic() - start, peak


def write_noise(folder: Path, contract: Contract, observations: int) -> None:
    """A data set of two episodes of so many observations of noise: one to calibrate on, one to judge by."""
    state, action = contract.state, contract.action.dimensions
    named = () if state is None else state.dimensions
    layout = Layout(
        fps=1 / contract.action.step_time,
        cameras=tuple(CameraInfo(c.name, c.height, c.width) for c in contract.cameras),
        state=VectorInfo(tuple(d.name for d in named), tuple(d.unit for d in named)),
        action=VectorInfo(tuple(d.name for d in action), tuple(d.unit for d in action)),
    )
    writer = DatasetWriter(folder, layout)
    random, text = np.random.default_rng(0), contract.instructions[0]
    low, high = ([getattr(d, end) for d in named] for end in ("low", "high"))
    for number in range(2):
        images = {
            c.name: [encode_png(random.integers(0, 256, (c.height, c.width, 3), np.uint8)) for _ in range(observations)]
            for c in contract.cameras
        }
        episode = Episode(
            task=text,
            instruction=text,
            images=images,
            states=random.uniform(low, high, (observations, len(named))).astype(np.float32),
            actions=np.zeros((observations, len(action)), np.float32),
            thoughts=[text] * observations,
            sub_instructions=[text] * observations,
        )
        writer.stage(f"{number}", episode)
    writer.pack()


def act(bundle: Path, mapped: bool, kv_type: str, threads: int, repeat: int) -> dict[str, Any]:
    """Load a bundle and act: seconds to load, of the first and of the best action, and the peak of RssAnon."""
    with watched_memory() as memory:
        start = time.monotonic()
        policy = hyt.load(bundle, threads=threads, mapped=mapped, kv_type=kv_type)
        loaded = time.monotonic() - start
        contract = policy.contract
        policy.reset(instruction=next(iter(contract.instructions), "open"))
        random, seconds = np.random.default_rng(0), []
        for _ in range(repeat):
            images = {c.name: random.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in contract.cameras}
            state = [] if contract.state is None else [(d.low + d.high) / 2 for d in contract.state.dimensions]
            chunk = policy.act(hyt.Observation(images, state))
            seconds.append(chunk.timings.total)
    assert np.isfinite(chunk.values).all()
    spent = {name: round(getattr(chunk.timings, name), 3) for name in ("vision", "prefill", "decode", "total")}
    return {
        "weights": "mapped" if mapped else "copied",
        "kv_type": kv_type,
        "threads": policy.info["backend"]["threads"],
        "load_seconds": round(loaded, 2),
        "first_act_seconds": round(seconds[0], 3),
        "best_act_seconds": round(min(seconds), 3),
        "last_act": spent,
        "peak_anonymous_bytes": memory.bytes,
        "action": chunk.values.tolist(),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Export a random policy of a published size and let it act.")
    parser.add_argument("shape", choices=tuple(MAKE))
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder for checkpoint and bundle")
    parser.add_argument("--layers", help="decoder layers, to try things quickly")
    parser.add_argument("--export", action="append", default=[], metavar="OPTION", help="more options for hyt-export")
    parser.add_argument("--calibration", type=int, default=0, metavar="N", help="observations to calibrate on")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3, help="actions of each kind")
    parser.add_argument("--kv", default="f16", help="type of keys and values (default %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave checkpoint and bundle in DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--act", choices=("copied", "mapped"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    checkpoint, bundle = options.work / options.shape, options.work / f"{options.shape}.hyt"
    if options.act:
        print(json.dumps(act(bundle, options.act == "mapped", options.kv, options.threads, options.repeat)))
        return
    report = measure(options, checkpoint, bundle)
    print_table(report)
    print(json.dumps(report, separators=(",", ":")))
    if options.json is not None:
        write_json(options.json, report)
    if not options.keep:
        shutil.rmtree(checkpoint)
        shutil.rmtree(bundle)
        shutil.rmtree(options.work / f"{options.shape}.data", ignore_errors=True)


def measure(options: argparse.Namespace, checkpoint: Path, bundle: Path) -> dict[str, Any]:
    """Make, export and act, each in a process of its own; a checkpoint that is there is taken."""
    if not checkpoint.exists():
        script, *rest = MAKE[options.shape]
        layers = ["--layers", options.layers] if options.layers else []
        subprocess.run([sys.executable, str(HERE / script), str(checkpoint), *rest, *layers], check=True)
    told = options.work / f"{options.shape}.export.json"
    arguments = [*EXPORT[options.shape], *options.export, "--threads", str(options.threads), "--force"]
    if options.calibration:
        data = options.work / f"{options.shape}.data"
        if not data.exists():
            contract = Contract.model_validate_json((checkpoint / "hyt.json").read_text(encoding="utf-8"))
            write_noise(data, contract, options.calibration)
        arguments += ["--calibration", str(data), "--calibration-observations", str(options.calibration)]
    program = [sys.executable, "-m", "hyt.export.cli", str(checkpoint), "-o", str(bundle), "--json", str(told)]
    seconds, peak = run_watched([*program, *arguments])
    export = json.loads(told.read_text())
    told.unlink()
    acts = []
    for weights in ("copied", "mapped"):
        again = [sys.executable, __file__, options.shape, "--work", str(options.work), "--act", weights]
        again += ["--kv", options.kv, "--threads", str(options.threads), "--repeat", str(options.repeat)]
        acts.append(json.loads(subprocess.run(again, check=True, capture_output=True, text=True).stdout))
    return {
        "command": "export_big",
        "shape": options.shape,
        "export": arguments,
        "checkpoint_bytes": sum(file.stat().st_size for file in checkpoint.iterdir()),
        "bundle_bytes": sum(file.stat().st_size for file in bundle.iterdir()),
        "parts": {f"{g['file']}: {g['name']}": g["bytes"] for g in export["groups"]},
        "padded": export["padded"],
        "fallbacks": len(export["fallbacks"]),
        "export_seconds": round(seconds, 1),
        "export_peak_anonymous_bytes": max(peak, export["run"]["peak_anonymous_bytes"]),
        "within_limit": max(peak, export["run"]["peak_anonymous_bytes"]) <= LIMIT,
        "acts": acts,
        "versions": versions(),
        "machine": machine(),
    }


def print_table(report: dict[str, Any]) -> None:
    """What a person wants to know."""
    gigabytes = {name: value / 1e9 for name, value in report["parts"].items()}
    print(f"{report['shape']} on {report['machine']['processor']}, {report['machine']['logical_cores']} cores")
    print(f"  checkpoint  {report['checkpoint_bytes'] / 1e9:7.3f} GB")
    print(f"  bundle      {report['bundle_bytes'] / 1e9:7.3f} GB, of them")
    for name, size in gigabytes.items():
        print(f"    {size:7.3f} GB  {name}")
    peak = report["export_peak_anonymous_bytes"] / 2**30
    print(f"  export      {report['export_seconds']:7.1f} s, at most {peak:.2f} GiB beyond page cache")
    for one in report["acts"]:
        print(
            f"  act, {one['weights']}  {one['best_act_seconds']:6.2f} s at best of {one['threads']} threads, loaded in "
            f"{one['load_seconds']:.1f} s, {one['peak_anonymous_bytes'] / 2**30:.2f} GiB beyond page cache"
        )


if __name__ == "__main__":
    sys.exit(exit_code(main))
