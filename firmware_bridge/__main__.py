"""The link's command line: `python -m hyt.firmware_bridge monitor|ping|stop|bench PORT`.

PORT is a path, by-id:TEXT, tcp://HOST:PORT or virtual: (see device.py). All but `stop` open a session of their own: a
firmware that is armed stops. None of them ever arms.

Exit codes: 0 done, 1 the operating system refused, 2 usage, 5 a wrong argument, 6 port or firmware, 130 interrupted,
143 ended by SIGTERM (for `monitor` both are the ordinary end: 0).
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from hyt.arguments import Parser, ending
from hyt.errors import HytError
from hyt.firmware_bridge.commands import ALL


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = Parser(
        prog="python -m hyt.firmware_bridge",
        description="The serial link from the command line. Exit codes: 0 done, 1 the operating system refused, "
        "2 usage, 5 argument, 6 port or firmware, 130 interrupted, 143 ended by SIGTERM; monitor ends by both with 0.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in ALL:
        command.add(commands)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads our output has left: `... monitor PORT | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return HytError.exit_code
    except HytError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as ended:
        number = signal.Signals(ended.args[0]) if ended.args else signal.SIGINT
        print(ending(number), file=sys.stderr)
        return 128 + number
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    sys.exit(main())
