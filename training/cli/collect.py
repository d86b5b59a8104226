"""Collect demonstrations from the scripted experts.

hyt-train collect DIR [--tasks A,B] [--episodes N] [--workers N]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hyt.training.cli.common import needs, positive, report

if TYPE_CHECKING:
    from hyt.training.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("collect", help="collect demonstrations from the scripted experts")
    parser.add_argument("directory", type=Path, metavar="DIR", help="where episodes go; those there are kept")
    parser.add_argument("--tasks", default="", help="comma-separated; default: all")
    parser.add_argument("--episodes", type=positive, default=350, help="seeds per task (default: %(default)s)")
    parser.add_argument("--workers", type=positive, default=2, help="processes (default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Collect what was asked for."""
    try:
        from hyt.simulation.tasks import TASKS
        from hyt.training.collect import collect
    except ImportError as missing:
        raise needs("sim", missing) from None
    tasks = options.tasks.split(",") if options.tasks else list(TASKS)
    collect(options.directory, tasks, options.episodes, workers=options.workers, report=report)
