"""hyt-run bench: how long a policy's answers take on this machine, and how near that is to what the machine can do."""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hyt.errors import InputError
from hyt.runtime.actions import Timings
from hyt.runtime.cli import bench_profile, bench_schedule
from hyt.runtime.cli.loading import add_loading_options, instruction_from, load_policy
from hyt.runtime.cli.output import check_output, describe_bundle, machine, versions, write_json
from hyt.runtime.cli.realtime_options import add_realtime_options, realtime_from
from hyt.runtime.cost import Cost, cost_of
from hyt.runtime.machine import Ceiling, measure_ceiling
from hyt.runtime.observation import random_observation
from hyt.runtime.policy import Policy
from hyt.runtime.statistics import Summary, summarise


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "bench",
        help="measure a policy's answers on this machine",
        description="Measure a policy's answers on this machine: tables, and all numbers in a last line of JSON.",
    )
    parser.add_argument("bundle", metavar="NAME.hyt", help="the policy")
    parser.add_argument("--repeat", type=int, default=20, metavar="N", help="answers of each kind (default 20)")
    parser.add_argument("--instruction", help="default: the first that the bundle lists")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers; one that is there is replaced")
    parser.add_argument("--profile", action="store_true", help="show the time of each operator in place of answers'")
    parser.add_argument(
        "--without",
        type=_names,
        default=(),
        metavar="NAME[,NAME]",
        help="leave speed-ups of the core out, to see what they buy; docs/performance.md lists them",
    )
    schedule = parser.add_argument_group("the loop", "whether thinking beside the actions delays them")
    schedule.add_argument("--schedule", action="store_true", help="measure the loop in place of single answers")
    schedule.add_argument("--periods", type=int, default=2000, metavar="N", help="turns of the loop (default 2000)")
    schedule.add_argument("--period", type=float, metavar="SECONDS", help="of a turn (default: the whole chunk)")
    schedule.add_argument(
        "--think", default="rate=120", metavar="WHEN", help="rate=R a minute or every=N turns (default rate=120)"
    )
    add_loading_options(parser)
    add_realtime_options(parser)
    parser.set_defaults(run=run)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def run(options: argparse.Namespace) -> None:
    """Measure, print a table and one line of JSON."""
    for name, number in (("--repeat", options.repeat), ("--periods", options.periods)):
        if number < 1:
            raise InputError(name, expected="at least 1", received=str(number))
    if options.profile and options.schedule:
        raise InputError("--profile", expected="not together with --schedule", received="both")
    check_output(options.json)
    if options.profile:
        with realtime_from(options):
            bench_profile.run(options)
        return
    with realtime_from(options) as real_time, load_policy(options) as policy, real_time.settled():
        instruction = instruction_from(options, policy.contract)
        if options.schedule:
            bench_schedule.run(policy, instruction, options)
            return
        policy.reset(instruction=instruction)
        phases = measure(policy, instruction, options.repeat)
        backend = dict(policy.info["backend"])
        # The ceiling is the CPU's: no share of it says anything of another device.
        on_cpu = backend.get("device", "CPU") == "CPU"
        cost = cost_of(policy.bundle, prefix_length(policy, instruction))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        ceiling = measure_ceiling(int(backend["threads"]))
        report = {
            "command": "bench",
            "bundle": describe_bundle(policy.bundle),
            "repeat": options.repeat,
            "backend": backend,
            "latency_ms": {phase: summary.as_dict() for phase, summary in phases.items()},
            "peak_rss_bytes": peak,
            "cost": asdict(cost),
            "ceiling": asdict(ceiling),
            "share": {name: round(share, 4) for name, share in shares(phases, cost, ceiling).items()} if on_cpu else {},
            "versions": versions(),
            "machine": machine(),
        }
    console = Console(highlight=False)
    console.print(bench_table(phases, report))
    print(json.dumps(report, separators=(",", ":")))
    if options.json is not None:
        write_json(options.json, report)


def measure(policy: Policy, instruction: str, repeat: int) -> dict[str, Summary]:
    """Latency of each phase over `repeat` fresh observations, each asked in turn for all that the policy can do."""
    contract, modalities = policy.contract, policy.contract.modalities
    seconds: dict[str, list[float]] = {}
    for index in range(repeat):
        act = policy.act(random_observation(contract, 3 * index)).timings
        phases = _phases(act, contract.action.tokens)
        if modalities.think is not None:
            thought = policy.think(random_observation(contract, 3 * index + 1))
            phases["thought token"] = thought.timings.thought / max(len(thought.tokens), 1)
            phases["think"] = thought.timings.total
        if modalities.follow is not None:
            phases["follow"] = policy.follow(random_observation(contract, 3 * index + 2), instruction).timings.total
        for phase, value in phases.items():
            seconds.setdefault(phase, []).append(value)
    return {phase: summarise(values) for phase, values in seconds.items()}


def _phases(act: Timings, actions: int) -> dict[str, float]:
    return {
        "vision": act.vision,
        "prefill": act.prefill,
        "action token" if actions else "action chunk": act.decode / max(actions, 1),
        "act": act.total,
    }


def prefix_length(policy: Policy, instruction: str) -> int:
    """Positions of the prefix with this instruction, image tokens counted."""
    dimensions = policy.contract.state.dimensions if policy.contract.state else ()
    layout = policy.prompt.layout(policy.prompt.encode(instruction), np.zeros(len(dimensions), dtype=np.float32))
    return int((layout >= 0).sum()) + sum(policy.bundle.manifest.image_tokens.values())


def shares(phases: Mapping[str, Summary], cost: Cost, ceiling: Ceiling) -> dict[str, float]:
    """Median phases against the ceiling that binds each: bandwidth for tokens, arithmetic for vision and prefill."""
    seconds = {phase: summary.p50_ms / 1e3 for phase, summary in phases.items()}
    action = "action chunk" if "action chunk" in seconds else "action token"
    found = {
        "vision": cost.vision_flops / seconds["vision"] / ceiling.flops_per_second,
        "prefill": cost.prefill_flops / seconds["prefill"] / ceiling.flops_per_second,
        action: cost.action_pass_bytes / seconds[action] / ceiling.bytes_per_second,
    }
    if thought := seconds.get("thought token"):
        found["thought token"] = cost.thought_token_bytes / thought / ceiling.bytes_per_second
    return found


def speculation_line(told: Mapping[str, Any] | None) -> str:
    """What the engine tells of its guesses, as the end of a caption; nothing where it makes none."""
    if told is None or not (told["pass_seconds"] or told["passes"]):
        return ""
    first, *more = told["pass_seconds"] or [1.0]
    costs = ", ".join(f"{seconds / first:.2f}" for seconds in more)
    measured = f"; passes of 2 to {len(more) + 1} tokens take {costs} of one" if more else ""
    return (
        f"\nspeculation ({told['now']} now): {told['accepted']} of {told['drafted']} guesses right "
        f"in {told['passes']} passes{measured}"
    )


def bench_table(phases: Mapping[str, Summary], report: Mapping[str, Any]) -> Table:
    """One row a phase; below it memory and the measured ceiling."""
    ceiling, cost = report["ceiling"], report["cost"]
    thoughts = f"thoughts {1e3 / phases['thought token'].p50_ms:.0f} tokens/s; " if "thought token" in phases else ""
    threads = f"{ceiling['threads']} thread{'s' * (ceiling['threads'] > 1)}"
    table = Table(
        title=f"{report['bundle']['name']} ({report['bundle']['quantization']}), {threads}, "
        f"{report['repeat']} answers of each kind, on {report['backend']['backend']}",
        title_justify="left",
        caption=f"weights {cost['weight_bytes'] / 2**20:.1f} MiB, "
        f"peak memory {report['peak_rss_bytes'] / 2**20:.0f} MiB; {thoughts}"
        f"this machine reads {ceiling['bytes_per_second'] / 1e9:.1f} GB/s and multiplies float32 at "
        f"{ceiling['flops_per_second'] / 1e9:.0f} GFLOP/s (quantised weights multiply in int8, which may be faster)"
        f"{speculation_line(report['backend'].get('speculation'))}",
        caption_justify="left",
    )
    table.add_column("phase")
    for column in ("p50 ms", "p99 ms", "max ms", "share of the machine"):
        table.add_column(column, justify="right")
    for phase, summary in phases.items():
        share = report["share"].get(phase)
        kind = "bandwidth" if phase.endswith(("token", "chunk")) else "float32 arithmetic"
        table.add_row(
            phase,
            *(f"{value:.2f}" for value in (summary.p50_ms, summary.p99_ms, summary.max_ms)),
            "" if share is None else f"{share:.0%} of {kind}",
        )
    return table
