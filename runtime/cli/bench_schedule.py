"""hyt-run bench --schedule: whether thinking beside the actions delays them, measured in the loop itself."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hyt.errors import InputError
from hyt.runtime.cli.output import describe_bundle, machine, versions, write_json
from hyt.runtime.cli.schedule_options import thinking_from
from hyt.runtime.observation import random_observation
from hyt.runtime.policy import Policy
from hyt.runtime.schedule import Schedule
from hyt.runtime.schedule.measure import Block, measure_thought, rate_per_minute, run_blocks
from hyt.runtime.schedule.rig import Rig
from hyt.runtime.statistics import ratio_bounds, summarise

BLOCK_TURNS = 20
OBSERVATIONS = 32
BINS_MS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Upper ends of the histogram's bins, in milliseconds; the last bin is all above."""


def run(policy: Policy, instruction: str, options: argparse.Namespace) -> None:
    """Measure, print two tables and one line of JSON; raises InputError for a policy that does not think."""
    thinking = thinking_from(options.think)
    if thinking.when not in ("every", "rate"):
        raise InputError("--think", expected="every=N or rate=R with --schedule", received=options.think)
    Schedule(options.period).period_steps(policy.contract.action)
    if policy.contract.modalities.think is None:
        raise InputError(f"policy {policy.contract.name!r}", expected="one that thinks", received="one that acts")
    observations = [random_observation(policy.contract, seed) for seed in range(OBSERVATIONS)]
    policy.warm_up()
    policy.reset(instruction=instruction)
    whole, step = measure_thought(policy, observations[0])
    with closing(Rig(policy.contract, observations)) as rig:
        blocks = run_blocks(
            policy,
            rig,
            instruction=instruction,
            turns=options.periods,
            block_turns=min(BLOCK_TURNS, max(options.periods // 4, 1)),
            thinking=thinking,
            period=options.period,
            thought_seconds=whole,
        )
        counters = rig.counters()
    report = {
        "command": "bench --schedule",
        "bundle": describe_bundle(policy.bundle),
        "backend": dict(policy.info["backend"]),
        "think": options.think,
        **describe(blocks, step, _wanted(policy, options.period, options.think)),
        "firmware": {name: counters[name] for name in ("chunks_accepted", "chunks_rejected", "lost_ticks")},
        "versions": versions(),
        "machine": machine(),
    }
    console = Console(highlight=False)
    console.print(act_table(report))
    console.print(wait_table(report))
    print(json.dumps(report, separators=(",", ":")))
    if options.json is not None:
        write_json(options.json, report)


def describe(blocks: Sequence[Block], step: float, wanted: float) -> dict[str, Any]:
    """The numbers of a report: latencies on and off and their ratios, thoughts, and waits; `step` in seconds."""
    on = [block for block in blocks if block.kind != "off"]
    off = [block for block in blocks if block.kind == "off"]
    waits = np.array([wait for block in on for wait in block.thinking])
    # A late block leaves thoughts little room on purpose, so it says nothing about their rate.
    rate = rate_per_minute([block for block in blocks if block.kind == "on"])
    return {
        "turns": {"on": sum(len(b.act) for b in on), "off": sum(len(b.act) for b in off)},
        "act_ms": {name: summarise([s for b in side for s in b.act]).as_dict() for name, side in _sides(on, off)},
        "on_to_off": _ratios([b.act for b in on], [b.act for b in off]),
        "without_stolen_time": {
            "act_ms": {name: summarise([s for b in side for s in _own(b)]).as_dict() for name, side in _sides(on, off)},
            "on_to_off": _ratios([_own(b) for b in on], [_own(b) for b in off]),
        },
        "stolen_share": round(sum(sum(b.stolen) for b in blocks) / sum(sum(b.act) for b in blocks), 5),
        "late_chunks": {name: sum(b.late for b in side) for name, side in _sides(on, off)},
        "thoughts": {
            "finished": sum(len(block.finished) for block in on),
            "per_minute": None if math.isnan(rate) else round(rate, 1),
            "wanted_per_minute": round(wanted, 1),
            "tokens_per_second_of_writing": round(_speed(on), 1),
        },
        "decode_step_ms": round(1e3 * step, 4),
        "due_to_begun_while_thinking": {
            "turns": len(waits),
            "within_a_decode_step": round(float((waits <= step).mean()), 4) if len(waits) else None,
            "max_ms": round(1e3 * float(waits.max()), 3) if len(waits) else None,
            "histogram": _histogram(waits),
        },
        "due_to_begun_off": {"histogram": _histogram(np.array([wait for block in off for wait in block.waited]))},
    }


def act_table(report: dict[str, Any]) -> Table:
    """Latencies of act with thinking on and off, and their ratios."""
    table = Table(
        title=f"{report['bundle']['name']}: act with thoughts beside it ({report['think']}) and without",
        title_justify="left",
        caption=_thoughts(report),
        caption_justify="left",
    )
    for column in ("", "turns", "p50 ms", "p99 ms", "max ms", "late chunks"):
        table.add_column(column, justify="right" if column else "left")
    for name in ("off", "on"):
        table.add_row(name, str(report["turns"][name]), *_act(report, name), str(report["late_chunks"][name]))
    table.add_row("on/off (95% bound)", "", *_shown(report), "", "")
    if report["stolen_share"] > 0:
        table.add_section()
        own = report["without_stolen_time"]
        for name in ("off", "on"):
            table.add_row(f"{name}, stolen time left out", "", *_act(own, name), "")
        table.add_row("on/off (95% bound)", "", *_shown(own), "", "")
    return table


def _act(report: dict[str, Any], name: str) -> Iterator[str]:
    return (f"{report['act_ms'][name][key]:.3f}" for key in ("p50_ms", "p99_ms", "max_ms"))


def _shown(report: dict[str, Any]) -> Iterator[str]:
    ratios = report["on_to_off"]
    return (f"{ratios[p]['ratio']:.3f} (<= {ratios[p]['upper_95']:.3f})" for p in ("p50", "p99"))


def wait_table(report: dict[str, Any]) -> Table:
    """How long a turn that was due waited while a thought was open, and without thoughts."""
    waits = report["due_to_begun_while_thinking"]
    within = waits["within_a_decode_step"]
    step = report["decode_step_ms"]
    table = Table(
        title="from due to begun",
        title_justify="left",
        caption="no turn found a thought open"
        if within is None
        else f"{within:.1%} within one decode step of {step:.3f} ms, at most {waits['max_ms']:.3f} ms",
        caption_justify="left",
    )
    for column in ("up to ms", "a thought open", "thoughts off"):
        table.add_column(column, justify="right")
    for name, count in waits["histogram"].items():
        table.add_row(name, str(count), str(report["due_to_begun_off"]["histogram"][name]))
    return table


def _ratios(on: Sequence[Sequence[float]], off: Sequence[Sequence[float]]) -> dict[str, dict[str, float]]:
    """Ratios of percentiles and their 95% bounds; the blocks of one index are neighbours in time."""
    found = {f"p{percentile}": ratio_bounds(on, off, percentile, paired=True) for percentile in (50, 99)}
    return {name: {"ratio": round(ratio, 4), "upper_95": round(high, 4)} for name, (ratio, _, high) in found.items()}


def _own(block: Block) -> list[float]:
    """Seconds of each act that this machine had."""
    return [act - stolen for act, stolen in zip(block.act, block.stolen, strict=True)]


def _sides(on: list[Block], off: list[Block]) -> list[tuple[str, list[Block]]]:
    return [("off", off), ("on", on)]


def _speed(blocks: Sequence[Block]) -> float:
    seconds = sum(block.writing for block in blocks)
    return sum(block.tokens for block in blocks) / seconds if seconds else 0.0


def _histogram(waits: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, int]:
    edges = [-np.inf, *(1e-3 * edge for edge in BINS_MS), np.inf]
    counts, _ = np.histogram(waits, bins=edges)
    return dict(zip([*(f"{edge:g}" for edge in BINS_MS), "more"], counts.tolist(), strict=True))


def _thoughts(report: dict[str, Any]) -> str:
    thoughts = report["thoughts"]
    rate = "no rate" if thoughts["per_minute"] is None else f"{thoughts['per_minute']:.0f} a minute"
    return (
        f"{thoughts['finished']} thoughts finished, where there is room {rate} "
        f"({thoughts['wanted_per_minute']:.0f} asked for), written at "
        f"{thoughts['tokens_per_second_of_writing']:.0f} tokens/s; the hypervisor took "
        f"{report['stolen_share']:.1%} of the acts' time"
    )


def _wanted(policy: Policy, period: float | None, think: str) -> float:
    """Thoughts a minute that `--think` asks for."""
    thinking = thinking_from(think)
    action = policy.contract.action
    if thinking.when == "rate":
        return thinking.rate
    return 60 / (thinking.every * (period or action.steps * action.step_time))
