"""Asks on the terminal before a real robot is armed for the first time."""

from __future__ import annotations

import sys

from hyt.errors import InputError


def confirm_arming(where: str) -> None:
    """Ask; raises InputError when the answer is not yes, or when there is no terminal to ask on."""
    if not sys.stdin.isatty():
        raise InputError(
            "arming",
            expected="a yes on the terminal",
            received="no terminal",
            remedy="give --yes if nobody stands in the robot's reach",
        )
    print(f"About to arm {where}: it will move. Keep clear of it, and a hand at its emergency stop.", file=sys.stderr)
    print("Arm it? [yes/no] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip().lower()
    if answer not in ("y", "yes"):
        raise InputError("arming", expected="yes", received=answer or "nothing", remedy="nothing has moved")
