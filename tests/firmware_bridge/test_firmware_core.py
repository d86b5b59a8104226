"""The C tests of the firmware core, under AddressSanitizer and UndefinedBehaviorSanitizer, and its bounded stack."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware_bridge" / "firmware"


@pytest.mark.parametrize("name", ["axis", "chunk_queue", "codec", "firmware", "limits", "path", "stop"])
def test_the_c_tests_pass(build: Path, name: str) -> None:
    done = subprocess.run([str(build / "tests" / f"test_{name}")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("frames", [10**6, pytest.param(10**7, marks=pytest.mark.slow)])
def test_no_damaged_frame_is_accepted_and_no_intact_one_is_lost(build: Path, frames: int) -> None:
    done = subprocess.run([str(build / "tests" / "test_damage"), str(frames)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\d+ damaged frames, none accepted; \d+ intact frames, none lost\n", done.stdout)
    assert int(done.stdout.split()[0]) >= frames


@pytest.mark.slow
def test_no_setpoint_breaks_a_limit_in_many_more_rounds(build: Path) -> None:
    done = subprocess.run([str(build / "tests" / "test_limits"), "100000"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("port", ["qemu", "stm32f4"])
def test_no_function_recurses_and_the_stack_is_bounded_below_a_kilobyte(build: Path, port: str) -> None:
    command = [sys.executable, str(FIRMWARE / "stack_usage.py"), str(build), port]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    most = re.search(r"stack +(\d+) bytes at most", done.stdout)
    assert most is not None
    assert 200 < int(most[1]) < 1024


def test_the_core_needs_nothing_but_the_compiler_and_string_h() -> None:
    for path in sorted((FIRMWARE / "core").glob("*.[ch]")):
        for header in re.findall(r"#include <(.+)>", path.read_text()):
            assert header in {"stdbool.h", "stddef.h", "stdint.h", "string.h"}, path.name
        assert not re.search(r"\b(malloc|calloc|free|float|double)\b", re.sub("//.*", "", path.read_text())), path.name
