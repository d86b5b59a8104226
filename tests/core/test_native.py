"""Builds and runs the core's own tests (csrc/tests): damaged files, allocations, vector functions."""

from __future__ import annotations

import site
import subprocess
import sys
from pathlib import Path

from tools import tool

ROOT = Path(__file__).parents[2]


def test_the_programs_in_csrc_tests_pass() -> None:
    # Kept between runs: only what changed is compiled again.
    build = ROOT / "build" / "core-tests"
    pybind = subprocess.check_output([sys.executable, "-m", "pybind11", "--cmakedir"], text=True)
    options = [
        f"-DCMAKE_PREFIX_PATH={site.getsitepackages()[0]}",
        f"-Dpybind11_DIR={pybind.strip()}",
        # pybind11 would else take the newest Python it finds, which may be another.
        f"-DPYTHON_EXECUTABLE={sys.executable}",
        f"-DPython_EXECUTABLE={sys.executable}",
        "-DHYT_BUILD_FIRMWARE=OFF",
        "-DHYT_BUILD_TESTS=ON",
    ]
    for command in (
        [tool("cmake"), "-S", str(ROOT), "-B", str(build), *options],
        [tool("cmake"), "--build", str(build), "--target", "hyt_core_tests"],
        [tool("ctest"), "--test-dir", str(build), "-R", "^core/", "--output-on-failure"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
