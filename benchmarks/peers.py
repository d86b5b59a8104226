"""Acts, thoughts and images against llama.cpp, onnxruntime and PyTorch, on the same weights, interleaved in one run.

    python benchmarks/peers.py BUNDLE... [--threads 2] [--repeat 30] [--thought 64] [--against ENGINE,...]
                               [--trials FILE] [--json FILE]

Each repetition takes a new prefix of random tokens, as long as the policy's own, and new random images, and asks every
contestant in turn, in an order that rotates: for an action and for a thought behind that prefix, and for a whole act
from images to action tokens. llama.cpp has the language part alone, for the image encoder is not its own; onnxruntime
takes part where the bundle has ONNX graphs (hyt-export --onnx); PyTorch computes in float32, and leaves out the
thoughts of large policies and the language part of larger ones. Before that each engine's settings are tried alone, and
its fastest take part (--trials keeps what was found in a file, and goes on there). A causal prefix and the tag are read
in one pass by llama.cpp, as anyone would; a bidirectional prefix is read with its own call for that. Ratios are of
medians, with a 95% interval by bootstrap over the repetitions. Tokens are compared: where two engines of the same
weights differ it is said how often. A share of the limit is the least time that the machine needs for a phase of ours,
by what it was seen to do in the same run, over our time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from command import exit_code
from contestants.case import Case, case_of
from contestants.ceilings import measure
from contestants.limits import shares, work_of
from contestants.process import Process
from contestants.table import table
from contestants.trials import TRIALS, Entrant, Trials
from rich.console import Console

from hyt.runtime.bundle import open_bundle
from hyt.runtime.cli.output import machine, versions
from hyt.runtime.statistics import summarise

ENGINES = ("llama.cpp", "onnxruntime", "pytorch")
BOOTSTRAP = 2000
SMALL, MOST_PARAMETERS = 10**8, 10**9
"""Of a case in which PyTorch thinks, and acts: larger ones take too long or do not fit beside the others in float32."""
TOKENS_OF = ("llama.cpp", "onnxruntime")
"""Engines that compute with the weights of the bundle, and so should say our tokens."""


def prefixes(case: Case, count: int) -> list[list[int]]:
    """Random prefixes; ids from 2 on, for 0 and 1 are often special."""
    random = np.random.default_rng(0)
    return [random.integers(2, case.vocabulary, case.prefix).tolist() for _ in range(count)]


def entrants(case: Case, against: list[str], say: Callable[[str], None]) -> list[Entrant]:
    """Who takes part in a case beside ours, and in what."""
    language = ("act", "think") if case.thought else ("act",)
    found = []
    if "llama.cpp" in against:
        found.append(Entrant("llama.cpp", language))
    if "onnxruntime" in against:
        graphs = open_bundle(case.bundle).manifest.onnx
        if graphs is None:
            say("  no ONNX graphs in the bundle, so no onnxruntime (hyt-export --onnx writes them)")
        elif case.prefix + case.thought > graphs.cells:
            say(f"  the ONNX graphs hold {graphs.cells} positions: no thought of {case.thought} tokens by onnxruntime")
            found.append(Entrant("onnxruntime", ("act", "whole")))
        else:
            found.append(Entrant("onnxruntime", (*language, "whole")))
    if "pytorch" in against:
        size = parameters(case)
        tasks = (*language, "whole") if size < SMALL else ("act", "whole")
        small = size < MOST_PARAMETERS
        found.append(Entrant("PyTorch float32", tasks if small else ("whole",), {} if small else {"language": False}))
    return found


def run_case(case: Case, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Everybody on one bundle."""
    say(f"{case.name}: prefix of {case.prefix}, {case.action_tokens} action tokens")
    bundle, threads = open_bundle(case.bundle), options.threads
    tasks = ("act", "think", "whole") if case.thought else ("act", "whole")
    trials = Trials(options.trials, say)
    asked = {"ours": tasks}
    settings = {"ours": {"threads": threads}}
    for entrant in entrants(case, options.against, say):
        asked[entrant.engine] = entrant.tasks
        settings[entrant.engine] = trials.best(entrant, case, threads, prefixes(case, TRIALS + 1))
    text = bundle.manifest.shapes.text
    wide, deep = text.hidden_size, text.intermediate_size
    shapes = [(wide, 2 * deep, case.prefix), (deep, wide, case.prefix)]
    weights = bundle.files["language.gguf"].stat().st_size
    before = measure(threads, shapes, weights)
    seconds: dict[str, dict[str, dict[str, list[float]]]] = {}
    differ = {engine: dict.fromkeys(asked[engine], 0) for engine in TOKENS_OF if engine in asked}
    with ExitStack() as stack:
        processes = [stack.enter_context(Process(engine, case, settings[engine])) for engine in asked]
        for turn, prefix in enumerate(prefixes(case, options.repeat + 1)):
            for task in tasks:
                said: dict[str, list[int]] = {}
                order = processes[turn % len(processes) :] + processes[: turn % len(processes)]
                for process in (one for one in order if task in asked[one.engine]):
                    answer = process.ask(task, prefix)
                    said[process.engine] = answer.tokens
                    for phase, value in answer.seconds.items() if turn else ():  # the first warms up
                        engine = seconds.setdefault(process.engine, {})
                        engine.setdefault(task, {}).setdefault(phase, []).append(value)
                for engine, count in differ.items():
                    if turn and task in count:
                        count[task] += said["ours"] != said[engine]
    ceilings = before.better(measure(threads, shapes, weights))
    work = work_of(bundle, case)
    ours = {task: {phase: float(np.median(all_)) for phase, all_ in of.items()} for task, of in seconds["ours"].items()}
    return {
        "case": {key: value for key, value in case.as_dict().items() if key not in ("action_ids", "layout")},
        "settings": settings,
        "tried_seconds": trials.of(case),
        "repeat": options.repeat,
        "answers_that_differ": differ,
        "milliseconds": {
            engine: {
                task: {phase: summarise(values).as_dict() for phase, values in phases.items()}
                for task, phases in of.items()
            }
            for engine, of in seconds.items()
        },
        "ratios": {
            engine: {
                task: {phase: ratio(seconds["ours"][task][phase], values) for phase, values in phases.items()}
                for task, phases in of.items()
            }
            for engine, of in seconds.items()
            if engine != "ours"
        },
        "ceilings": asdict(ceilings),
        "work": {task: {phase: asdict(one) for phase, one in of.items()} for task, of in work.items()},
        "shares": shares(work, ours, ceilings),
        "thought_tokens_per_second": {
            engine: round(case.thought / float(np.median(of["think"]["decode"])), 1)
            for engine, of in seconds.items()
            if "think" in of
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


def _engines(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(ENGINES):
        raise argparse.ArgumentTypeError(f"expected some of {','.join(ENGINES)}, received {text}")
    return names


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+", metavar="NAME.hyt")
    parser.add_argument("--threads", type=int, default=2, help="of ours, and at most of every other (default 2)")
    parser.add_argument("--repeat", type=int, default=30, help="(default 30)")
    parser.add_argument("--thought", type=int, default=64, help="tokens of a thought, 0 for none (default 64)")
    parser.add_argument("--against", type=_engines, default=list(ENGINES), metavar="ENGINE,...", help="(default: all)")
    parser.add_argument(
        "--trials", type=Path, metavar="FILE", help="take what was tried from it, and add what is tried"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    options = parser.parse_args()
    console = Console(highlight=False, width=120)
    say = partial(console.print, soft_wrap=True)
    cases = [run_case(case_of(bundle, options.thought), options, say) for bundle in options.bundles]
    for report in cases:
        console.print(table(report))
    report = {"command": "peers", "cases": cases, "versions": versions(), "machine": machine()}
    print(json.dumps(report, separators=(",", ":")))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
