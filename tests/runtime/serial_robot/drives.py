"""One drive of the slow gantry through hyt-run and the real firmware, and what its trace says of how it ended."""

from __future__ import annotations

import csv
import re
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from robots import ACCELERATION, HZ, VELOCITY, slow_gantry_text, write_robot

from hyt.firmware_bridge import FirmwareProcess, State
from hyt.runtime.serial_robot import read_description

UNDER_WAY = 0.9 * VELOCITY / HZ * 1e6  # micro-units a tick


class Gantry:
    """The slow gantry's firmware in real time, its robot.toml and its trace in `folder`."""

    def __init__(self, folder: Path, source: str = "images:frames", more: str = "") -> None:
        self.folder = folder
        config = read_description(write_robot(folder, slow_gantry_text())).firmware_config()
        self.firmware = FirmwareProcess(config, lockstep=False, trace=folder / "trace.csv")
        text = slow_gantry_text(self.firmware.port, source)
        if "[kinematics]" in more:
            text = re.sub(r"\[\[state\]\].*?(?=\n\[\[cameras\]\])", "", text, flags=re.DOTALL)
        self.robot = write_robot(folder, f"{text}{more}")

    def command(self, bundle: Path) -> list[str]:
        """hyt-run's arguments for a drive that only a fault ends."""
        robot = f"serial:{self.robot}"
        return ["drive", str(bundle), "--robot", robot, "--threads", "1", "--yes", "--no-view", "--decisions", "2000"]

    def rows(self) -> list[dict[str, int]]:
        text = (self.folder / "trace.csv").read_text()
        return [
            {k: int(v) for k, v in row.items()} for row in csv.DictReader(text[: text.rindex("\n") + 1].splitlines())
        ]

    def wait_until_under_way(self, seconds: float = 40.0) -> None:
        """Until the gripper's axis moves as fast as it may, which it then does until the run ends."""
        deadline = time.monotonic() + seconds
        while not any(abs(b["gripper"] - a["gripper"]) > UNDER_WAY for a, b in self._last_steps()):
            assert time.monotonic() < deadline, "it never moved"
            time.sleep(0.05)

    def when_under_way(self, action: Callable[[], object]) -> threading.Thread:
        """Does `action` in a thread, once the arm is under way."""

        def run() -> None:
            self.wait_until_under_way()
            action()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def came_to_rest(self, seconds: float = 10.0) -> State:
        """Waits until the arm rests, checks that it decelerated as its limits say; returns the firmware's state."""
        deadline = time.monotonic() + seconds
        while (last := self.rows()[-1]["state"]) not in (State.DISARMED, State.STOPPED):
            assert time.monotonic() < deadline, f"it is still {State(last).name}"
            time.sleep(0.05)
        time.sleep(0.05)
        rows = self.rows()
        armed = max(index for index, row in enumerate(rows) if row["state"] == State.ARMED)
        names = ("x", "y", "z", "gripper")
        steps = np.diff([[row[name] for name in names] for row in rows], axis=0)
        assert np.abs(steps).max() <= VELOCITY / HZ * 1e6 + 2
        assert np.abs(np.diff(steps, axis=0)).max() <= ACCELERATION / HZ**2 * 1e6 + 3
        assert np.abs(steps[armed - 1]).max() > UNDER_WAY  # it was under way when the run ended,
        braking = round(VELOCITY / ACCELERATION * HZ)
        assert State.STOPPING in {row["state"] for row in rows[armed + 1 : armed + braking]}  # braked,
        assert not steps[armed + braking + 5 :].any()  # and rests
        return State(rows[-1]["state"])

    def _last_steps(self) -> list[tuple[dict[str, int], dict[str, int]]]:
        rows = [row for row in self.rows()[-20:] if row["state"] == State.ARMED]
        return list(pairwise(rows))

    def close(self) -> None:
        self.firmware.close()
