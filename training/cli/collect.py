"""Collect a dataset on the simulated arm: demonstrations of the scripted experts, or corrections of a policy.

hyt-train collect DIR [--tasks A,B] [--episodes N] [--thoughts PART] [--workers N]
hyt-train collect DIR --policy BUNDLE [--modes act,think] [--first-seed N] ...
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hyt.arguments import share, whole
from hyt.errors import InputError
from hyt.training.cli.common import needs, report

if TYPE_CHECKING:
    from hyt.training.cli.common import Commands

MODES = ("act", "think")


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("collect", help="collect demonstrations of the experts, or corrections of a policy")
    parser.add_argument("directory", type=Path, metavar="DIR", help="the dataset; episodes that are there are kept")
    parser.add_argument("--tasks", default="", help="comma-separated; default: all")
    parser.add_argument("--episodes", type=whole(1), default=350, help="seeds per task (default: %(default)s)")
    parser.add_argument(
        "--thoughts", type=share, default=1.0, metavar="PART", help="part of the episodes with thoughts (default: all)"
    )
    parser.add_argument("--policy", type=Path, metavar="BUNDLE", help="who acts in place of the expert, who labels")
    parser.add_argument("--modes", default="act", help="of the policy, in turns: act, think (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, help="of a policy's episodes (default: the first there is)")
    parser.add_argument("--workers", type=whole(1), default=2, help="processes (default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Collect what was asked for."""
    try:
        from hyt.simulation.seeds import CORRECT
        from hyt.simulation.tasks import TASKS
        from hyt.training.data.collect import collect
        from hyt.training.data.corrections import collect_corrections
    except ImportError as missing:
        raise needs("train", missing) from None
    tasks = options.tasks.split(",") if options.tasks else list(TASKS)
    if options.policy is None:
        collect(
            options.directory,
            tasks,
            options.episodes,
            workers=options.workers,
            thoughts=options.thoughts,
            report=report,
        )
        return
    modes = tuple(options.modes.split(","))
    if not set(modes) <= set(MODES):
        raise InputError("--modes", expected="act, think or both", received=options.modes)
    collect_corrections(
        options.directory,
        options.policy,
        tasks,
        options.episodes,
        modes=modes,
        first_seed=CORRECT[0] if options.first_seed is None else options.first_seed,
        workers=options.workers,
        thoughts=options.thoughts,
        report=report,
    )
