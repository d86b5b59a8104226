"""What each speed-up of the core buys by itself: a policy without it beside the whole one, in turns, in one run.

    python benchmarks/cuts.py NAME.hyt... [--threads 1] [--blocks 12] [--answers 5] [--without NAME[,NAME]]

The whole policy and one without a speed-up answer the same observations in blocks that take turns; between blocks the
threads of the one before are left to fall asleep. The last row leaves all out that put operators of ours in ggml's
place. Ratios are of medians, without over with: above 1 is what it buys. The bounds (5% and 95%) come from the
bootstrap over blocks (hyt.runtime.statistics).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

from command import exit_code
from rich.console import Console
from rich.table import Table

from hyt import Policy
from hyt.runtime import _core
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.bundle import Bundle, open_bundle
from hyt.runtime.cli.output import describe_bundle, machine, versions
from hyt.runtime.observation import random_observation
from hyt.runtime.statistics import ratio_bounds, summarise

PLAIN = "own kernels"
"""All that put operators of ours in the place of ggml's."""
THOUGHT_TOKENS = 4
SETTLE = 0.05
"""Seconds between two blocks: OpenMP's threads look for work for some milliseconds, on cores that the other needs."""
Blocks = dict[str, list[list[float]]]


def opened(bundle: Bundle, threads: int, left_out: str | None) -> Policy:
    """The policy without one speed-up, or with all."""
    plain = left_out == PLAIN
    without = [] if plain or left_out is None else [left_out]
    policy = Policy(bundle, CoreBackend(bundle, threads, own_kernels=not plain, without=without))
    policy.reset(instruction=next(iter(bundle.contract.instructions)))
    return policy


def add_block(policy: Policy, answers: int, seed: int, blocks: Blocks) -> None:
    """Seconds of each phase over some observations, one list a phase."""
    time.sleep(SETTLE)
    contract = policy.contract
    seconds: dict[str, list[float]] = {}
    for index in range(answers):
        observation = random_observation(contract, seed + index)
        timings = policy.act(observation).timings
        phases = {"vision": timings.vision, "prefill": timings.prefill, "act": timings.total}
        phases["action token"] = timings.decode / max(contract.action.tokens, 1)
        if contract.modalities.think is not None:
            thought = policy.think(observation, tokens=THOUGHT_TOKENS)
            phases["thought token"] = thought.timings.thought / max(len(thought.tokens), 1)
        for phase, value in phases.items():
            seconds.setdefault(phase, []).append(value)
    for phase, values in seconds.items():
        blocks.setdefault(phase, []).append(values)


def measure(bundle: Bundle, whole: Policy, left_out: str, options: argparse.Namespace) -> dict[str, Any]:
    """Medians of each phase with and without, in milliseconds, and their ratio with its bounds."""
    sides: tuple[Blocks, Blocks] = ({}, {})
    with opened(bundle, options.threads, left_out) as without:
        for block in range(options.blocks + 1):
            order = [(without, sides[0]), (whole, sides[1])]
            for policy, blocks in order if block % 2 else order[::-1]:
                # The first block warms up.
                add_block(policy, options.answers, block * options.answers, blocks if block else {})
    found = {}
    for phase, blocks in sides[0].items():
        ratio, low, high = ratio_bounds(blocks, sides[1][phase], 50)
        found[phase] = {
            "without_ms": round(summarise([*chain(*blocks)]).p50_ms, 4),
            "with_ms": round(summarise([*chain(*sides[1][phase])]).p50_ms, 4),
            "ratio": [round(value, 3) for value in (ratio, low, high)],
        }
    return found


def cuts_table(report: dict[str, Any], threads: int) -> Table:
    """One row a speed-up, one column a phase."""
    cuts = report["cuts"]
    phases = list(next(iter(cuts.values())))
    told = f"{report['bundle']['name']} ({report['bundle']['quantization']})"
    table = Table(title=f"{told}, {threads} thread{'s' * (threads > 1)}: times as long without", title_justify="left")
    table.add_column("left out")
    for phase in phases:
        table.add_column(phase, justify="right")
    for name, found in cuts.items():
        cells = (found[phase]["ratio"] for phase in phases)
        table.add_row(name, *(f"{ratio:.2f} ({low:.2f} to {high:.2f})" for ratio, low, high in cells))
    return table


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+", metavar="NAME.hyt")
    parser.add_argument("--threads", type=int, default=1, help="(default 1)")
    parser.add_argument("--blocks", type=int, default=12, help="of each side (default 12)")
    parser.add_argument("--answers", type=int, default=5, help="of a block (default 5)")
    parser.add_argument("--without", metavar="NAME[,NAME]", help="only these (default: each, and all kernels of ours)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    options = parser.parse_args()
    names = [*_core.cuts(), PLAIN] if options.without is None else options.without.split(",")
    console = Console(highlight=False, width=140, soft_wrap=True)
    reports = []
    for path in options.bundles:
        bundle = open_bundle(path)
        found = {}
        with opened(bundle, options.threads, None) as whole:
            for name in names:
                found[name] = measure(bundle, whole, name, options)
                console.print(f"{bundle.manifest.name} without {name}: {found[name]['act']}", style="dim")
        reports.append({"bundle": describe_bundle(bundle), "cuts": found})
        console.print(cuts_table(reports[-1], options.threads))
    settings = {name: getattr(options, name) for name in ("threads", "blocks", "answers")}
    report = {"command": "cuts", **settings, "policies": reports, "versions": versions(), "machine": machine()}
    print(json.dumps(report, separators=(",", ":")))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
