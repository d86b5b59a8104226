"""The command line `hyt-train`: collect demonstrations, fit a policy.

    hyt-train collect DIR [--tasks A,B] [--episodes N] [--workers N]
    hyt-train fit DIR -o CHECKPOINT [--steps N] [--batch N] [--seed S] [--threads N] [--name NAME]

Progress is one JSON object a line on standard output. Exit codes are those of `hyt.errors`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyt.errors import HytError, MissingDependencyError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except HytError as error:
        print(f"hyt-train: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("hyt-train: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hyt-train", description="Train small HyT policies on the simulated arm.")
    commands = parser.add_subparsers(required=True, metavar="collect|fit")

    collect = commands.add_parser("collect", help="collect demonstrations from the scripted experts")
    collect.add_argument("directory", type=Path, metavar="DIR", help="where episodes go; those there are kept")
    collect.add_argument("--tasks", default="", help="comma-separated; default: all six")
    collect.add_argument("--episodes", type=_positive, default=350, help="seeds per task (default: %(default)s)")
    collect.add_argument("--workers", type=_positive, default=2, help="processes (default: %(default)s)")
    collect.set_defaults(run=_collect)

    fit = commands.add_parser("fit", help="fit a policy from random init; goes on where an interrupted fit stopped")
    fit.add_argument("directory", type=Path, metavar="DIR", help="collected episodes")
    fit.add_argument("-o", "--output", type=Path, required=True, metavar="CHECKPOINT")
    fit.add_argument("--name", default="metaworld-arm", help="name of the policy (default: %(default)s)")
    fit.add_argument("--steps", type=_positive, default=3500, help="optimiser steps (default: %(default)s)")
    fit.add_argument("--batch", type=_positive, default=32, help="data points a step (default: %(default)s)")
    fit.add_argument("--seed", type=int, default=0, help="of weights and sampling (default: %(default)s)")
    fit.add_argument("--threads", type=_positive, default=2, help="of PyTorch (default: %(default)s)")
    fit.set_defaults(run=_fit)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive number, received {text}")
    return value


def _report(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)


def _collect(options: argparse.Namespace) -> None:
    try:
        from hyt.simulation.tasks import TASKS
        from hyt.training.collect import collect
    except ImportError as missing:
        raise _needs("sim", missing) from None
    tasks = options.tasks.split(",") if options.tasks else list(TASKS)
    collect(options.directory, tasks, options.episodes, workers=options.workers, report=_report)


def _fit(options: argparse.Namespace) -> None:
    try:
        from hyt.training.fit import Recipe, fit
    except ImportError as missing:
        raise _needs("train", missing) from None
    recipe = Recipe(steps=options.steps, batch=options.batch, seed=options.seed, threads=options.threads)
    fit(options.directory, options.output, recipe, name=options.name, report=_report)


def _needs(extra: str, missing: ImportError) -> MissingDependencyError:
    return MissingDependencyError(
        "hyt-train",
        expected=f"the packages of the extra [{extra}]",
        received=str(missing),
        remedy=f"pip install 'hyt[{extra}]'",
    )
