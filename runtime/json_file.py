"""Reads JSON that may be hostile: bounded in size, one meaning only, each failure one line of the caller's error."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from hyt.errors import HytError


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {key[:80]!r} twice in one object")
        result[key] = value
    return result


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def parse_json(text: bytes, subject: str, error: type[HytError]) -> Any:
    """Parse UTF-8 JSON strictly (no repeated key, no NaN, no runaway nesting); raises `error` about `subject`."""
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise error(subject, expected="JSON", received="JSON nested too deeply") from None
    except ValueError as problem:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise error(subject, expected="JSON", received=str(problem)[:200]) from None


def read_json(path: Path, limit: int, error: type[HytError], remedy: str = "") -> Any:
    """Read and parse a JSON file of at most `limit` bytes; raises `error` when it is missing, larger or no JSON."""
    return parse_json(read_bytes(path, limit, error, remedy), str(path), error)


def read_bytes(path: Path, limit: int, error: type[HytError], remedy: str = "") -> bytes:
    """Read a regular file of at most `limit` bytes once; raises `error` when it is missing, larger or no such file."""
    try:
        # Without waiting: a pipe would keep a plain open for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise error(str(path), expected="a regular file", received="something else", remedy=remedy)
            text = file.read(limit + 1)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise error(str(path), expected="a readable file", received=reason, remedy=remedy) from None
    if len(text) > limit:
        raise error(str(path), expected=f"at most {limit} bytes", received="more", remedy=remedy)
    return text
