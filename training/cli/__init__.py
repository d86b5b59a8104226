"""The command line `hyt-train`: one module a subcommand, each with its own usage at the head.

Progress is one JSON object a line on standard output. Exit codes are those of `hyt.errors`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hyt.arguments import Parser
from hyt.errors import HytError
from hyt.training.cli import adapt, collect, draft, evaluate, fit, gate, import_, study


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    parser = Parser(
        prog="hyt-train", description="Collect demonstrations, fit HyT policies to them, and evaluate policies."
    )
    commands = parser.add_subparsers(required=True, metavar="collect|import|adapt|fit|gate|draft|evaluate|study")
    for command in (collect, import_, adapt, fit, gate, draft, evaluate, study):
        command.add(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except HytError as error:
        print(f"hyt-train: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"hyt-train: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return HytError.exit_code
    except KeyboardInterrupt:
        print("hyt-train: interrupted", file=sys.stderr)
        return 130
    return 0
