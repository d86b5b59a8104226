"""hyt-run bench --profile: where the time of an answer goes, operator by operator."""

from __future__ import annotations

import json
from argparse import Namespace

from rich.console import Console
from rich.table import Table

from hyt.errors import InputError
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.bundle import open_bundle
from hyt.runtime.cli.loading import instruction_from
from hyt.runtime.cli.output import describe_bundle, machine, versions, write_json
from hyt.runtime.observation import random_observation
from hyt.runtime.policy import Policy

LEAST = 0.005
"""Share of its phase below which an operator is not shown."""


def run(options: Namespace) -> None:
    """Measure, print a table a phase and one line of JSON."""
    if options.backend != "core":
        raise InputError("--profile", expected="the backend core", received=options.backend)
    bundle = open_bundle(options.bundle, require_signature=options.require_signature)
    backend = CoreBackend(
        bundle,
        options.threads,
        kv_type=options.kv,
        mapped=options.mapped,
        activations=options.activations,
        without=options.without,
        speculate=options.speculate,
        device=options.device,
    )
    with Policy(bundle, backend) as policy:
        instruction = instruction_from(options, policy.contract)
        policy.reset(instruction=instruction)
        policy.warm_up()
        backend.profile(True)
        for index in range(options.repeat):
            observation = random_observation(policy.contract, index)
            policy.act(observation)
            if policy.contract.modalities.think is not None:
                policy.think(observation)
        phases = by_phase(backend.profiled(), options.repeat)
        report = {
            "command": "bench --profile",
            "bundle": describe_bundle(bundle),
            "repeat": options.repeat,
            "backend": dict(backend.info()),
            "seconds_an_answer": phases,
            "versions": versions(),
            "machine": machine(),
        }
    console = Console(highlight=False)
    for phase, operators in phases.items():
        console.print(profile_table(phase, operators))
    print(json.dumps(report, separators=(",", ":")))
    if options.json is not None:
        write_json(options.json, report)


SAID = {"action token": "action tokens, one a pass", "action tokens": "action tokens, guesses with them"}
"""What phases are called here. A repetition is an act, and of a policy with thoughts a think, which acts too."""


def by_phase(profiled: dict[str, float], answers: int) -> dict[str, dict[str, float]]:
    """Seconds a repetition of each operator, the longest first, by phase."""
    phases: dict[str, dict[str, float]] = {}
    for name, seconds in sorted(profiled.items(), key=lambda item: -item[1]):
        phase, _, operator = name.partition(": ")
        phases.setdefault(phase, {})[operator] = seconds / answers
    return phases


def profile_table(phase: str, operators: dict[str, float]) -> Table:
    """One row an operator."""
    total = sum(operators.values())
    table = Table(title=f"{SAID.get(phase, phase)}: {total * 1e3:.3f} ms a repetition", title_justify="left")
    table.add_column("operator")
    for column in ("ms", "share"):
        table.add_column(column, justify="right")
    for operator, seconds in operators.items():
        if seconds >= LEAST * total:
            table.add_row(operator, f"{seconds * 1e3:.3f}", f"{seconds / total:.1%}")
    return table
