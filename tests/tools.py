"""Build tools for tests: those of the running Python's environment first, as a bare machine has no others."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def tool(name: str) -> str:
    """Path of `cmake` or `ctest`; the wheel `cmake` installs both beside the interpreter."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    assert found is not None, f"{name} is needed: pip install cmake"
    return found
