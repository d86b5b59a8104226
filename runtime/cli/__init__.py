"""The command line hyt-run: one file per subcommand; errors become one line and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from hyt.arguments import Parser, ending
from hyt.errors import HytError
from hyt.runtime.cli import bench, doctor, drive, inspect, replay
from hyt.runtime.cli.output import versions
from hyt.runtime.signals import Interrupts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run hyt-run; returns the exit code (see `hyt.errors`: 0 ok, 1 the system refused, 2 usage, 128 + a signal)."""
    parser = Parser(prog="hyt-run", description="Run a HyT policy on a robot.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (drive, bench, inspect, replay, doctor):
        command.add_parser(commands)
    parser.add_argument("--version", action="version", version=f"%(prog)s {versions()['hyt']}")
    options = parser.parse_args(arguments)
    with Interrupts() as interrupts:
        options.interrupts = interrupts
        try:
            options.run(options)
            sys.stdout.flush()
        except HytError as problem:
            interrupts.over()
            print(f"hyt-run: {problem}", file=sys.stderr)
            return problem.exit_code
        except KeyboardInterrupt:
            interrupts.over()
            return _ended_by(interrupts.first or signal.SIGINT)
        except OSError as problem:
            interrupts.over()
            hung_up = problem.errno == errno.EIO and problem.filename is None  # a terminal; its signal may come later
            if interrupts.first is not None or hung_up:
                return _ended_by(interrupts.first or signal.SIGHUP)
            if isinstance(problem, BrokenPipeError):  # who reads our output has left: `hyt-run ... | head`
                _silence(sys.stdout)
            else:
                print(f"hyt-run: {problem.filename or 'output'}: {problem.strerror or problem}", file=sys.stderr)
            return HytError.exit_code
    return 0


def _ended_by(number: signal.Signals) -> int:
    with suppress(OSError):
        print(f"hyt-run: {ending(number)}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _silence(stream)
    return 128 + number


def _silence(stream: TextIO) -> None:
    """What is left for a reader that has gone goes nowhere, or the interpreter's last flush would fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
