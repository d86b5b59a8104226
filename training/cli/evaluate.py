"""Evaluate policies in closed loop, through the firmware: successes with intervals, latencies, paired comparisons.

hyt-train evaluate CHECKPOINT_OR_BUNDLE... [--modes act,think,gate,follow,follow-own,act-midway,follow-opposite]
                   [--tasks A,B] [--episodes N] [--seeds held-out|validation|paired|study|FIRST]
                   [--protocol lerobot-mt50] [--quantization f32,q4_0] [--workers N]
                   [--json FILE] [--log FILE] [--plot FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyt.arguments import whole
from hyt.errors import InputError
from hyt.training.cli.common import needs, report

if TYPE_CHECKING:
    from hyt.training.cli.common import Commands
    from hyt.training.evaluation.protocol import Protocol
    from hyt.training.evaluation.summary import Group

RANGES = {"held-out": "HELD_OUT", "validation": "VALIDATION", "paired": "PAIRED", "study": "STUDY"}
"""Names of `--seeds` and of their ranges in `hyt.simulation.seeds`."""

EPISODES_FROM_A_SEED = 10
"""Episodes a task where `--seeds` is a number and `--episodes` is not given."""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("evaluate", help="evaluate checkpoints and bundles in closed loop")
    parser.add_argument(
        "policies", type=Path, nargs="+", metavar="CHECKPOINT_OR_BUNDLE", help="compared with the first"
    )
    parser.add_argument("--modes", help="comma-separated (default: act,think,follow; with --protocol act)")
    parser.add_argument("--tasks", default="", help="comma-separated; default: those the first was trained on")
    parser.add_argument("--episodes", type=whole(1), help="episodes a task (default: all seeds of the range)")
    parser.add_argument("--seeds", help=f"{', '.join(RANGES)}, or a first seed (default: held-out)")
    parser.add_argument("--protocol", help="lerobot-mt50: fixed tasks and seeds, a score over groups of tasks")
    parser.add_argument("--workers", type=whole(1), default=2, help="processes (default: %(default)s); 1 for latencies")
    parser.add_argument(
        "--quantization", default="f32", help="of checkpoints, comma-separated: each gives one policy (default: f32)"
    )
    parser.add_argument(
        "--backends",
        default="core",
        help="comma-separated: core, onnx (of bundles with graphs); each gives a policy",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results; one that is there is replaced")
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="a line an episode; those in it are not run again (default: beside --json)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="success against latency: .svg, .png or .pdf")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluate what was asked for."""
    try:
        from hyt.simulation.tasks import find_task
        from hyt.training.evaluation.modes import MODES
        from hyt.training.evaluation.protocol import PROTOCOLS
    except ImportError as missing:
        raise needs("sim", missing) from None
    from rich.console import Console

    from hyt.runtime.bundle import open_bundle
    from hyt.runtime.cli.output import check_output, machine, versions, write_json
    from hyt.runtime.policy import require_gate
    from hyt.training.evaluation.entries import open_entries, tasks_known
    from hyt.training.evaluation.log import open_log
    from hyt.training.evaluation.plot import check_plot, plot_latency
    from hyt.training.evaluation.run import Plan, evaluate
    from hyt.training.evaluation.summary import Group, compare_all
    from hyt.training.evaluation.table import print_results

    protocol = None
    if options.protocol is not None:
        protocol = PROTOCOLS[_chosen("protocol", options.protocol, tuple(PROTOCOLS))[0]]
        if options.tasks or options.seeds or options.episodes:
            raise InputError(
                "--protocol", expected="no --tasks, --seeds or --episodes", remedy="the protocol fixes them"
            )
    modes = _chosen("mode", options.modes or ("act,think,follow" if protocol is None else "act"), tuple(MODES))
    tasks = [find_task(name.strip()).name for name in options.tasks.split(",")] if options.tasks else []
    seeds = _seeds(options.seeds or "held-out", options.episodes)
    if protocol is not None:
        tasks, seeds = protocol.tasks, protocol.seeds
    check_output(options.json)
    log_path = options.log or (options.json.with_suffix(".jsonl") if options.json is not None else None)
    check_output(log_path)
    check_output(options.plot)
    check_plot(options.plot)
    with tempfile.TemporaryDirectory(prefix="hyt-evaluate-") as scratch, open_log(log_path) as log:
        entries = open_entries(
            options.policies, options.quantization.split(","), Path(scratch), options.backends.split(",")
        )
        if "gate" in modes:
            for entry in entries:
                require_gate(open_bundle(entry.bundle).contract)
        records = evaluate(
            Plan(entries, modes, tasks or tasks_known(entries), seeds), log, workers=options.workers, report=report
        )
    groups = [
        Group(entry.name, mode, [r for r in records if (r.policy, r.mode) == (entry.identity, mode)])
        for entry in entries
        for mode in modes
    ]
    comparisons = compare_all(groups)
    print_results(Console(), groups, comparisons, protocol)
    if options.plot is not None:
        plot_latency(groups, options.plot)
    if options.json is not None:
        result = {
            "command": "evaluate",
            "policies": {e.name: {"identity": e.identity, "quantization": e.quantization} for e in entries},
            "seeds": [seeds[0], seeds[-1]],
            "workers": options.workers,
            "results": [group.as_dict() for group in groups],
            **({} if protocol is None else _scores(options.protocol, protocol, groups)),
            "comparisons": [comparison.as_dict() for comparison in comparisons],
            "versions": versions(),
            "machine": machine(),
        }
        write_json(options.json, result)


def _scores(name: str, protocol: Protocol, groups: list[Group]) -> dict[str, Any]:
    scores = [
        {
            "policy": group.name,
            "mode": group.mode,
            "groups": {name: count.as_dict() for name, count in protocol.counts(group).items()},
            "mean_over_groups": round(protocol.score(group), 4),
        }
        for group in groups
    ]
    return {"protocol": name, "scores": scores}


def _chosen(kind: str, text: str, known: tuple[str, ...]) -> list[str]:
    """The comma-separated names, each one of `known`; raises InputError."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise InputError(f"{kind} {name!r}", expected=f"one of {', '.join(known)}", remedy="name one of them")
    return list(dict.fromkeys(names))


def _seeds(text: str, episodes: int | None) -> range:
    """The seeds of each task; raises InputError for an unknown range or more episodes than it holds."""
    from hyt.simulation import seeds

    if text.isdecimal():
        return range(int(text), int(text) + (episodes or EPISODES_FROM_A_SEED))
    if text not in RANGES:
        raise InputError(f"seeds {text!r}", expected=f"{', '.join(RANGES)}, or a first seed")
    whole: range = getattr(seeds, RANGES[text])
    if episodes is not None and episodes > len(whole):
        raise InputError("--episodes", expected=f"at most the {len(whole)} seeds {text}", received=str(episodes))
    return whole[:episodes]
