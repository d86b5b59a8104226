"""What guessing action tokens costs and buys: a policy with and without, on the same observations, interleaved.

    python benchmarks/speculation.py BUNDLE [--recordings FOLDER] [--how off,last,auto] [--threads 1] [--repeat 200]
                                     [--json FILE]

With recordings (`hyt-run drive --record FOLDER`) the observations are theirs, one after the other, as the closed loop
saw them: tokens do not depend on guesses, so each way to guess would have seen the same. Without, they are noise, each
shown twice, so that every second action is guessed right: what guesses cost and buy at most. All ways take each
observation in turn, in an order that rotates. Tokens and probabilities must be the same, or the benchmark fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from command import exit_code
from rich.console import Console
from rich.table import Table

import hyt
from hyt.errors import InputError, PolicyError
from hyt.runtime.backends.core import SPECULATE
from hyt.runtime.cli.output import machine, versions
from hyt.runtime.observation import random_observation
from hyt.runtime.record.recording import Recording, Step, find_recordings
from hyt.runtime.statistics import summarise


def observations(policy: hyt.Policy, folder: Path | None, repeat: int) -> Iterator[tuple[str, hyt.Observation]]:
    """Instructions and observations, at most `repeat` of them."""
    if folder is None:
        instruction = next(iter(policy.contract.instructions))
        for index in range(repeat):
            yield instruction, random_observation(policy.contract, index // 2)
        return
    count = 0
    for path in find_recordings(folder):
        recording = Recording(path)
        for item in recording.steps():
            if isinstance(item, Step):
                yield recording.run.instruction, hyt.Observation(item.images, item.state)
                count += 1
                if count == repeat:
                    return


def measure(bundle: Path, folder: Path | None, ways: Sequence[str], threads: int, repeat: int) -> dict[str, Any]:
    """Times in ms and counts of each way."""
    with ExitStack() as stack:
        policies = {how: stack.enter_context(hyt.load(bundle, threads=threads, speculate=how)) for how in ways}
        before = {how: dict(told(policy)) for how, policy in policies.items()}
        decode: dict[str, list[float]] = {how: [] for how in ways}
        by_luck: dict[str, dict[str, list[float]]] = {how: {"right": [], "wrong": []} for how in ways}
        total: dict[str, list[float]] = {how: [] for how in ways}
        first = policies[ways[0]]
        for number, (instruction, observation) in enumerate(observations(first, folder, repeat)):
            said = {}
            order = [*ways[number % len(ways) :], *ways[: number % len(ways)]]
            for how in order:
                policy = policies[how]
                if policy.instruction != instruction:
                    policy.reset(instruction=instruction)
                drafted, accepted = counts(policy)
                said[how] = chunk = policy.act(observation)
                drafted, accepted = (now - then for now, then in zip(counts(policy), (drafted, accepted), strict=True))
                decode[how].append(chunk.timings.decode)
                if drafted and accepted in (0, drafted):
                    by_luck[how]["right" if accepted else "wrong"].append(chunk.timings.decode)
                total[how].append(chunk.timings.total)
            check_same(said, told(first)["exact"])
        return {
            "bundle": first.bundle.manifest.name,
            "tokens": first.contract.action.tokens,
            "acts": len(total[ways[0]]),
            "pass_seconds": next((told(p)["pass_seconds"] for p in policies.values() if told(p)["pass_seconds"]), []),
            "ways": {
                how: {
                    "decode_ms": summarise(decode[how]).as_dict(),
                    "act_ms": summarise(total[how]).as_dict(),
                    "now": told(policy)["now"],
                    **{f"{luck}_ms": summarise(times).as_dict() for luck, times in by_luck[how].items() if times},
                    **{k: told(policy)[k] - before[how][k] for k in ("passes", "drafted", "accepted")},
                }
                for how, policy in policies.items()
            },
        }


def told(policy: hyt.Policy) -> dict[str, Any]:
    """What the engine tells of its guesses."""
    speculation: dict[str, Any] = policy.info["backend"]["speculation"]
    return speculation


def counts(policy: hyt.Policy) -> tuple[int, int]:
    """Guesses so far, and those of them that were right."""
    return int(told(policy)["drafted"]), int(told(policy)["accepted"])


def check_same(said: dict[str, hyt.ActionChunk], exact: bool) -> None:
    """Raises PolicyError unless all ways said the same."""
    (first, expected), *others = said.items()
    for how, chunk in others:
        same = np.array_equal(chunk.tokens, expected.tokens)
        if not same or (exact and not np.array_equal(chunk.probabilities, expected.probabilities)):
            raise PolicyError(f"speculate {how}", expected=f"what {first} says", received="something else")


def show(found: dict[str, Any], console: Console) -> None:
    """A table."""
    costs = [seconds / found["pass_seconds"][0] for seconds in found["pass_seconds"]]
    table = Table(
        title=f"{found['bundle']}: {found['acts']} acts of {found['tokens']} tokens, each in every way",
        title_justify="left",
        caption="decode of actions with all guesses right and with none; passes that guessed; "
        "passes of 1, 2, ... tokens in passes of one: " + (", ".join(f"{c:.2f}" for c in costs) or "not timed"),
        caption_justify="left",
    )
    columns = ("guesses", "now", "decode p50 ms", "all right", "all wrong", "act p50 ms", "passes", "guessed", "right")
    for column in columns:
        table.add_column(column, justify="right")
    for how, one in found["ways"].items():
        share = f"{one['accepted'] / one['drafted']:.0%}" if one["drafted"] else ""
        phases = (one.get(f"{phase}_ms") for phase in ("decode", "right", "wrong", "act"))
        times = ("" if phase is None else f"{phase['p50_ms']:.3f}" for phase in phases)
        table.add_row(how, one["now"], *times, str(one["passes"]), str(one["drafted"]), share)
    console.print(table)


def main() -> None:
    """Measure and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--recordings", type=Path)
    parser.add_argument("--how", default=",".join(SPECULATE), help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=200, help="observations at most (default 200)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ways = options.how.split(",")
    if unknown := [how for how in ways if how not in SPECULATE]:
        raise InputError("--how", expected=",".join(SPECULATE), received=unknown[0])
    found = measure(options.bundle, options.recordings, ways, options.threads, options.repeat)
    show(found, Console(highlight=False))
    report = {**found, "threads": options.threads, "versions": versions(), "machine": machine()}
    print(json.dumps(report, separators=(",", ":")))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(exit_code(main))
