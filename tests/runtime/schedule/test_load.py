"""A load that takes the CPU away: chunks come late and are counted, nothing jumps, and the loop recovers by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rigs import check_motion, read_trace

from hyt.firmware_bridge import Trip

HZ, STEP = 800, 50  # of the rig: ticks a second, ticks of a period


@contextmanager
def burning(processes: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


class Drive:
    """The process under load; its lines are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def turns(self, count: int) -> list[bool]:
        """Whether each of the next `count` chunks is late."""
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(count)]
        assert all(lines), self.process.stderr and self.process.stderr.read()
        return [line.split()[1] == "1" for line in lines]

    def freeze(self, seconds: float) -> None:
        """Take all CPU away from the process, as a burst of more important work would."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)


def test_a_load_makes_chunks_late_and_nothing_else(tiny_bundle: Path, tmp_path: Path) -> None:
    trace, report = tmp_path / "trace.csv", tmp_path / "report.json"
    program = Path(__file__).with_name("loaded_drive.py")
    command = [sys.executable, str(program), str(tiny_bundle), str(trace), str(report)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            drive = Drive(process)
            drive.turns(10)
            with burning(2 * (os.cpu_count() or 1)):
                for _ in range(5):
                    drive.freeze(0.25)  # four periods each
                    drive.turns(4)
            # The load has ended: some turns later every chunk is in time again, by itself.
            in_time, deadline = 0, time.monotonic() + 30
            while in_time < 8 and time.monotonic() < deadline:
                in_time = 0 if drive.turns(1)[0] else in_time + 1
            assert in_time == 8
            process.stdin.write("enough\n")  # type: ignore[union-attr]
            process.communicate(timeout=30)
            assert process.returncode == 0
        finally:
            process.kill()
    found = json.loads(report.read_text())
    late, gaps = np.array(found["late"]), np.diff(found["starts"]) - STEP
    # Every chunk that did not start where the last one ended is counted as late, and no other; none started early.
    assert found["late_chunks"] == late.sum() >= 5
    np.testing.assert_array_equal(gaps > 0, late[1:])
    assert gaps.min() == 0
    # A freeze of four periods delays chunks by about that and is not made up for.
    assert gaps.max() >= 100
    assert found["finished_thoughts"] > 0
    counters = found["counters"]
    assert counters["chunks_accepted"] == len(late)
    rows = read_trace(trace)
    assert set(rows["trip"]) == {Trip.NONE}
    check_motion(rows, HZ)
