"""How a benchmark ends that was asked for something wrong: with one line and an exit code of `hyt.errors`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from hyt.errors import HytError


def exit_code(main: Callable[[], int | None]) -> int:
    """The exit code of `main`, which says what it refuses by raising HytError."""
    try:
        return main() or 0
    except HytError as problem:
        print(f"{Path(sys.argv[0]).name}: {problem}", file=sys.stderr)
        return problem.exit_code
