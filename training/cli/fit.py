"""Fit a policy from random init; goes on where an interrupted fit stopped.

hyt-train fit DIR -o CHECKPOINT [--steps N] [--batch N] [--seed S] [--threads N] [--name NAME]
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
    parser = commands.add_parser("fit", help="fit a policy from random init; goes on where an interrupted fit stopped")
    parser.add_argument("directory", type=Path, metavar="DIR", help="collected episodes")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="CHECKPOINT")
    parser.add_argument("--name", default="metaworld-arm", help="name of the policy (default: %(default)s)")
    parser.add_argument("--steps", type=positive, default=3500, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--batch", type=positive, default=32, help="data points a step (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and sampling (default: %(default)s)")
    parser.add_argument("--threads", type=positive, default=2, help="of PyTorch (default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Fit what was asked for."""
    try:
        from hyt.training.fit import Recipe, fit
    except ImportError as missing:
        raise needs("train", missing) from None
    recipe = Recipe(steps=options.steps, batch=options.batch, seed=options.seed, threads=options.threads)
    fit(options.directory, options.output, recipe, name=options.name, report=report)
