"""Imports point one way: each package knows only those below it, and the robot's side never needs torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BELOW = {
    "dataset": {"errors"},
    "firmware_bridge": {"arguments", "errors"},
    "runtime": {"errors", "firmware_bridge"},
    "export": {"errors", "dataset", "runtime"},
    "simulation": {"errors", "firmware_bridge", "runtime"},
    "training": {"errors", "dataset", "export", "runtime", "simulation"},
}

COMMAND_LINES = {"runtime": "runtime/cli/", "export": "export/cli", "training": "training/cli"}


def imported_packages(path: Path) -> set[str]:
    """The packages of `hyt` that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("hyt.")}


@pytest.mark.parametrize("package", BELOW)
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports hyt.{other}"
        for path in (ROOT / package).rglob("*.py")
        if not str(path.relative_to(ROOT)).startswith(COMMAND_LINES.get(package, "\0"))
        for other in imported_packages(path) - BELOW[package] - {package}
    }
    assert wrong == set()


def test_the_public_api_and_the_command_lines_load_no_torch_and_no_simulator() -> None:
    program = (
        "import sys, hyt, hyt.runtime.cli, hyt.export.cli;"
        "print([m for m in ('torch', 'transformers', 'metaworld', 'mujoco') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
