"""Options that the subcommands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_port(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """PORT and --baudrate."""
    help_text = "a path, by-id:TEXT, tcp://HOST:PORT or virtual:" + ("; default: the host firmware" * optional)
    parser.add_argument("port", metavar="PORT", nargs="?" if optional else None, help=help_text)
    parser.add_argument("--baudrate", type=int, default=115200, help="of a serial line (default 115200)")
