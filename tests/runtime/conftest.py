"""Puts this folder on the module path, so that its tests find their fakes, and exports a bundle for them once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny bundle; tests leave it as it is."""
    from bundles import write_bundle

    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def gated_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a random gate."""
    from bundles import write_bundle
    from checkpoints import Shape

    return write_bundle(tmp_path_factory.mktemp("gated"), Shape(gate_units=8))
