"""Shared by all tests: the tests folder on the module path (`import checkpoints`), a tiny checkpoint and its bundle."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("MUJOCO_GL", "egl")  # whichever test file imports mujoco first
# A shell's background job starts with interrupts ignored, and so would the programs that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("any machine", deadline=None)  # a busy one is no slower an algorithm
settings.load_profile("any machine")

if TYPE_CHECKING:
    from checkpoints import Checkpoint


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random tiny checkpoint; read only: copy it (`checkpoint_copy`) before changing it."""
    from checkpoints import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle, q4_0; read only: copy it (`bundle_copy`) before changing it."""
    from hyt.export.exporter import export_bundle

    path = tmp_path_factory.mktemp("bundle") / "tiny.hyt"
    export_bundle(tiny_checkpoint.path, path, threads=1)
    return path


@pytest.fixture(scope="session")
def continuous_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a random tiny continuous policy, q4_0; read only: copy it before changing it."""
    from action_heads import write_continuous_checkpoint

    from hyt.export.exporter import export_bundle

    folder = tmp_path_factory.mktemp("continuous")
    write_continuous_checkpoint(folder / "tiny")
    export_bundle(folder / "tiny", folder / "tiny.hyt", threads=1)
    return folder / "tiny.hyt"


@pytest.fixture
def checkpoint_copy(tiny_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint to damage."""
    return Path(shutil.copytree(tiny_checkpoint.path, tmp_path / "checkpoint"))


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle to damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy.hyt"))
