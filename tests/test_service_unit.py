"""docs/systemd/hyt.service: its command is one that hyt-run takes, and no exit code of ours makes it arm again."""

from __future__ import annotations

import argparse
import re
import shlex
import signal
from pathlib import Path

import pytest

from hyt import errors
from hyt.runtime.cli import drive, main

UNIT = Path(__file__).parents[1] / "docs" / "systemd" / "hyt.service"


def settings() -> dict[str, str]:
    lines = UNIT.read_text().replace("\\\n", " ").splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return {key: value for key, _, value in pairs}


def test_its_command_is_one_that_hyt_run_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    program, *arguments = shlex.split(settings()["ExecStart"])
    seen: list[argparse.Namespace] = []
    monkeypatch.setattr(drive, "run", seen.append)
    assert (program, main(arguments)) == ("/opt/hyt/bin/hyt-run", 0)
    (options,) = seen
    assert (options.yes, options.fifo, options.cpus) == (True, 50, {2, 3, 4, 5})


def test_it_is_never_started_but_by_a_person() -> None:
    assert "[Install]" not in UNIT.read_text().splitlines()
    unit = settings()
    assert unit["Restart"] == "no"
    prevented = set(unit["RestartPreventExitStatus"].split())
    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type)}
    assert {str(code) for code in codes | {0, 2, 129, 130, 143}} <= prevented
    assert {"SIGKILL", "SIGSEGV", "SIGABRT", "SIGSYS", "SIGTERM", "SIGHUP", "SIGINT"} <= prevented


def test_its_clean_stop_is_a_success_and_its_real_time_is_permitted() -> None:
    unit = settings()
    assert (unit["KillSignal"], int(unit["SuccessExitStatus"])) == ("SIGTERM", 128 + signal.SIGTERM)
    assert int(unit["LimitRTPRIO"]) > 50
    assert unit["LimitMEMLOCK"] == "infinity"


def test_the_page_explains_every_exit_code() -> None:
    page = (UNIT.parents[1] / "service.md").read_text()
    told = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for code in row.split(",")}
    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type)}
    assert codes | {0, 2, 129, 130, 143} == told
