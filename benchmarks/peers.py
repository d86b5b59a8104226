"""The language part of act and think against llama.cpp and PyTorch, on the same weights, interleaved in one run.

    python benchmarks/peers.py BUNDLE... [--threads 2] [--repeat 30] [--thought 64] [--no-pytorch] [--json FILE]

Each repetition takes a new prefix of random tokens, as long as the policy's own, and asks every contestant in turn, in
an order that rotates: first for an action, then for a thought. The image encoder is left out: it is not llama.cpp's.
Before that each of llama.cpp's settings is tried alone, and the fastest of each bundle takes part. llama.cpp reads a
causal prefix and the tag in one pass, as anyone would; a bidirectional prefix is read with its own call for that.
Ratios are of medians, with a 95% interval by bootstrap over the repetitions. Tokens are compared: where two engines of
the same weights differ it is said how often.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from contestants.case import Answer, Case, case_of
from contestants.process import Process
from rich.console import Console
from rich.table import Table

from hyt.runtime.cli.output import machine, versions
from hyt.runtime.machine import measure_ceiling
from hyt.runtime.statistics import summarise

TRIALS, TRIAL_SECONDS = 5, 10.0
BOOTSTRAP = 2000
PHASES = ("prefill", "decode", "total")
MOST_PARAMETERS = 10**9
"""Of a case that PyTorch takes part in: larger ones would not fit beside the others in float32."""


def prefixes(case: Case, count: int) -> list[list[int]]:
    """Random prefixes; ids from 2 on, for 0 and 1 are often special."""
    random = np.random.default_rng(0)
    return [random.integers(2, case.vocabulary, case.prefix).tolist() for _ in range(count)]


def best_llama(case: Case, threads: int, console: Console) -> dict[str, Any]:
    """The settings of llama.cpp with the fastest act, each tried alone."""
    tried: list[tuple[float, dict[str, Any]]] = []
    choices = itertools.product(range(threads, 0, -1), ("on", "off"), (True, False), ("f16", "f32"))
    for number, flash, repack, cache in choices:
        settings = {"threads": number, "flash": flash, "repack": repack, "cache": cache}
        with Process("llama.cpp", case, settings) as process:
            first, *others = prefixes(case, TRIALS + 1)
            process.ask("act", first)
            seconds: list[float] = []
            for prefix in others:
                seconds.append(total(process.ask("act", prefix)))
                if sum(seconds) > TRIAL_SECONDS:
                    break
            tried.append((statistics.median(seconds), settings))
        console.print(f"  tried {process.name}: {tried[-1][0] * 1e3:.2f} ms", highlight=False)
    return min(tried, key=lambda one: one[0])[1]


def total(answer: Answer) -> float:
    """Seconds of prefill and decode."""
    return answer.prefill + answer.decode


def run_case(case: Case, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Everybody on one bundle."""
    console.print(f"{case.name}: prefix of {case.prefix}, {case.action_tokens} action tokens", highlight=False)
    threads = options.threads
    entrants: list[tuple[str, dict[str, Any]]] = [("ours", {"threads": threads})]
    entrants.append(("llama.cpp", best_llama(case, threads, console)))
    if options.pytorch and parameters(case) < MOST_PARAMETERS:
        entrants.append(("PyTorch float32", {"threads": threads}))
    seconds: dict[str, dict[str, dict[str, list[float]]]] = {}
    differ = {"act": 0, "think": 0}
    with ExitStack() as stack:
        processes = [stack.enter_context(Process(name, case, settings)) for name, settings in entrants]
        for turn, prefix in enumerate(prefixes(case, options.repeat + 1)):
            for task in ("act", "think") if case.thought else ("act",):
                said: dict[str, list[int]] = {}
                for process in processes[turn % len(processes) :] + processes[: turn % len(processes)]:
                    answer = process.ask(task, prefix)
                    said[process.engine] = answer.tokens
                    if turn:  # the first warms up
                        phases = seconds.setdefault(process.engine, {}).setdefault(task, {})
                        for phase in PHASES:
                            value = total(answer) if phase == "total" else getattr(answer, phase)
                            phases.setdefault(phase, []).append(value)
                differ[task] += bool(turn) and said["ours"] != said["llama.cpp"]
    return {
        "case": {key: value for key, value in case.as_dict().items() if key != "action_ids"},
        "settings": {process.engine: process.settings for process in processes},
        "repeat": options.repeat,
        "answers_that_differ_from_llama.cpp": differ,
        "milliseconds": {
            engine: {
                task: {phase: summarise(values).as_dict() for phase, values in phases.items()}
                for task, phases in tasks.items()
            }
            for engine, tasks in seconds.items()
        },
        "ratios": {
            engine: {
                task: {phase: ratio(seconds["ours"][task][phase], values) for phase, values in phases.items()}
                for task, phases in tasks.items()
            }
            for engine, tasks in seconds.items()
            if engine != "ours"
        },
        "think_then_act_over_act": think_over_act(seconds["ours"], case),
    }


def think_over_act(ours: dict[str, dict[str, list[float]]], case: Case) -> float | None:
    """How much longer our action takes with the thought before it: median of both together over median of act alone."""
    if not case.thought:
        return None
    # An action behind a thought decodes the same tokens and shares the thought's prefill.
    both = np.asarray(ours["think"]["total"]) + np.asarray(ours["act"]["decode"])
    return round(float(np.median(both) / np.median(ours["act"]["total"])), 3)


def parameters(case: Case) -> int:
    """Weights of the decoder, embedding included."""
    from gguf import GGUFReader

    return sum(int(tensor.n_elements) for tensor in GGUFReader(case.language).tensors)


def ratio(ours: list[float], theirs: list[float]) -> list[float]:
    """Median of ours over median of theirs, and its 95% interval over resampled repetitions, kept paired."""
    pairs = np.asarray([ours, theirs])
    random = np.random.default_rng(0)
    medians = np.median(pairs[:, random.integers(0, pairs.shape[1], (BOOTSTRAP, pairs.shape[1]))], axis=2)
    low, high = np.percentile(medians[0] / medians[1], [2.5, 97.5])
    middle = np.median(pairs[0]) / np.median(pairs[1])
    return [round(float(value), 4) for value in (middle, low, high)]


def table(report: dict[str, Any]) -> Table:
    """One row an engine and phase."""
    case = report["case"]
    attention = "causal" if case["causal"] else "bidirectional"
    longer = report["think_then_act_over_act"]
    result = Table(
        title=f"{case['name']}: {attention} prefix of {case['prefix']}, {case['action_tokens']} action tokens, thought "
        f"of {case['thought']}; {report['repeat']} repetitions",
        title_justify="left",
        caption=f"answers that differ from llama.cpp's: {report['answers_that_differ_from_llama.cpp']}"
        + (f"; ours takes {longer} times as long when it thinks first" if longer else ""),
        caption_justify="left",
    )
    for column in ("engine", "task", "phase"):
        result.add_column(column)
    for column in ("p50 ms", "p99 ms", "ours / theirs", "95%"):
        result.add_column(column, justify="right")
    for engine, tasks in sorted(report["milliseconds"].items(), key=lambda item: item[0] != "ours"):
        for task, phases in tasks.items():
            for phase, summary in phases.items():
                compared = report["ratios"].get(engine, {}).get(task, {}).get(phase)
                shown = (
                    ("", "") if compared is None else (f"{compared[0]:.2f}", f"{compared[1]:.2f} to {compared[2]:.2f}")
                )
                result.add_row(engine, task, phase, f"{summary['p50_ms']:.2f}", f"{summary['p99_ms']:.2f}", *shown)
        result.add_section()
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+", metavar="NAME.hyt")
    parser.add_argument("--threads", type=int, default=2, help="of every contestant (default 2)")
    parser.add_argument("--repeat", type=int, default=30, help="(default 30)")
    parser.add_argument("--thought", type=int, default=64, help="tokens of a thought, 0 for none (default 64)")
    parser.add_argument("--no-pytorch", dest="pytorch", action="store_false", help="leave PyTorch out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    options = parser.parse_args()
    console = Console(highlight=False)
    cases = [run_case(case_of(bundle, options.thought), options, console) for bundle in options.bundles]
    ceiling = measure_ceiling(options.threads)
    for report in cases:
        console.print(table(report))
    report = {
        "command": "peers",
        "cases": cases,
        "bytes_per_second": ceiling.bytes_per_second,
        "float32_flops_per_second": ceiling.flops_per_second,
        "versions": versions(),
        "machine": machine(),
    }
    print(json.dumps(report, separators=(",", ":")))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
