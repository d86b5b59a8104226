"""The command line hyt-run: one file per subcommand; errors become one line and an exit code."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from hyt.errors import HytError
from hyt.runtime.cli import bench, doctor, drive, inspect
from hyt.runtime.cli.output import versions

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run hyt-run; returns the exit code (see `hyt.errors`: 0 ok, 1 the system refused, 2 usage, 130 interrupted)."""
    parser = argparse.ArgumentParser(prog="hyt-run", description="Run a HyT policy on a robot.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (drive, bench, inspect, doctor):
        command.add_parser(commands)
    parser.add_argument("--version", action="version", version=f"%(prog)s {versions()['hyt']}")
    options = parser.parse_args(arguments)
    # A service is stopped by SIGTERM: leave the same way as on Ctrl-C, so that the robot is stopped and disarmed.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads our output has left: `hyt-run ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush complains
        return HytError.exit_code
    except HytError as problem:
        print(f"hyt-run: {problem}", file=sys.stderr)
        return problem.exit_code
    except OSError as problem:
        print(f"hyt-run: {problem.filename or 'output'}: {problem.strerror or problem}", file=sys.stderr)
        return HytError.exit_code
    except KeyboardInterrupt:
        print("hyt-run: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
