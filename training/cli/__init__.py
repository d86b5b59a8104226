"""The command line `hyt-train`: one module a subcommand, each with its own usage at the head.

Progress is one JSON object a line on standard output. Exit codes are those of `hyt.errors`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hyt.errors import HytError
from hyt.training.cli import adapt, collect, draft, evaluate, fit, gate, import_, study


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    parser = argparse.ArgumentParser(prog="hyt-train", description="Train small HyT policies on the simulated arm.")
    commands = parser.add_subparsers(required=True, metavar="collect|import|adapt|fit|gate|draft|evaluate|study")
    for command in (collect, import_, adapt, fit, gate, draft, evaluate, study):
        command.add(commands)
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
