"""What the subcommands of `hyt-train` share: progress lines, missing extras."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from hyt.errors import InputError, MissingDependencyError

T = TypeVar("T")

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def report(values: dict[str, Any]) -> None:
    """One line of progress."""
    print(json.dumps(values), flush=True)


def needs(extra: str, missing: ImportError) -> MissingDependencyError:
    """The refusal of a subcommand whose packages are not installed."""
    return MissingDependencyError(
        "hyt-train",
        expected=f"the packages of the extra [{extra}]",
        received=str(missing),
        remedy=f"pip install 'hyt[{extra}]'",
    )


def one_of(choices: Mapping[str, T], subject: str, name: str) -> T:
    """The choice of this name; raises InputError that lists the names when there is none."""
    if name not in choices:
        raise InputError(f"{subject} {name!r}", expected=f"one of {', '.join(choices)}")
    return choices[name]
