"""The recorder that `hyt-run drive --record` asks for."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from hyt.runtime.cli.output import machine, versions
from hyt.runtime.policy import Policy
from hyt.runtime.record.facts import Facts
from hyt.runtime.record.recorder import Recorder


def open_recorder(policy: Policy, options: argparse.Namespace) -> AbstractContextManager[Recorder | None]:
    """To be entered before a robot is opened and left after it was closed: no arm waits for a disk."""
    if options.record is None:
        return nullcontext()
    plain = (str, int, float, bool, Path, type(None))
    said = {name: value for name, value in vars(options).items() if isinstance(value, plain)}
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in said.items()}
    return Recorder(options.record, Facts(policy, options=asked, versions=versions(), machine=machine()))
