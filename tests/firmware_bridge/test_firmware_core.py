"""The C tests of the firmware core, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["axis", "chunk_queue", "codec", "firmware", "path"])
def test_the_c_tests_pass(build: Path, name: str) -> None:
    done = subprocess.run([str(build / "tests" / f"test_{name}")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
