"""What the command lines share: usage errors in one line, types of numbers, and what is said of a signal."""

from __future__ import annotations

import argparse
import math
import signal
from collections.abc import Callable
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """As argparse's, but what is wrong comes in one line without the usage; the exit code is 2 as there."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is; exit."""
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help tells what there is)\n")


def ending(number: signal.Signals) -> str:
    """What a program says that this signal ended."""
    return "interrupted" if number is signal.SIGINT else f"ended by {number.name}"


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """An argument type: a whole number of at least `least`, and at most `most` where there is one."""
    expected = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"expected a whole number {expected}, received {text!r}")
        return number

    return read


def above_zero(text: str) -> float:
    """An argument type: a number above 0, or infinity."""
    number = _number(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, received {text!r}")
    return number


def not_negative(text: str) -> float:
    """An argument type: a number of at least 0, or infinity."""
    number = _number(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, received {text!r}")
    return number


def share(text: str) -> float:
    """An argument type: a number from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, received {text!r}")
    return number


def _number(text: str) -> float:
    """The number; NaN, which is in no range, where there is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
