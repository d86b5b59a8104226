"""Puts this folder on the module path, for robots.py and drives.py, and starts the arm whose faults are tried."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from drives import Gantry
from robots import POLICY

from hyt.export.exporter import export_bundle


@pytest.fixture(scope="session")
def arm_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped policy, exported."""
    path = tmp_path_factory.mktemp("bundle") / "arm.hyt"
    export_bundle(POLICY, path, threads=1)
    return path


@pytest.fixture
def slow_gantry(tmp_path: Path) -> Iterator[Callable[..., Gantry]]:
    """Starts the slow gantry of drives.py in tmp_path."""
    started: list[Gantry] = []

    def start(*arguments: str) -> Gantry:
        started.append(Gantry(tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.close()
