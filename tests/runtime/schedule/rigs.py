"""A rig of the tiny contract, and what its firmware put out, for tests of the loop in real time."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from fakes import tiny_observation

from hyt.firmware_bridge.process import AxisConfig
from hyt.runtime.contract import Contract
from hyt.runtime.listener import Decision, Listener, ThoughtProgress
from hyt.runtime.schedule.rig import Rig

SPEED, ACCELERATION = 10.0, 400.0  # of every axis, a second: a chunk that begins from rest wants more


class Log(Listener):
    """Keeps decisions and thoughts."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.thoughts: list[ThoughtProgress] = []

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def thought(self, progress: ThoughtProgress) -> None:
        self.thoughts.append(progress)


def limited(axis: AxisConfig) -> AxisConfig:
    return replace(axis, max_velocity=SPEED, max_acceleration=ACCELERATION)


@contextmanager
def rigged(contract: Contract, trace: Path) -> Iterator[Rig]:
    """A rig with limited axes that writes a trace."""
    rig = Rig(contract, [tiny_observation(seed) for seed in range(4)], trace=trace, axis=limited)
    try:
        yield rig
    finally:
        rig.close()


def read_trace(path: Path) -> dict[str, np.ndarray]:
    """`state` and `trip` (ticks,), and `setpoints` (ticks, axes) in units, of each tick that the firmware ran."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    table = np.array([row for row in rows[1:] if len(row) == len(rows[0])], dtype=np.int64)
    return {"tick": table[:, 0], "state": table[:, 1], "trip": table[:, 2], "setpoints": table[:, 5:] / 1e6}


def check_motion(trace: dict[str, np.ndarray], hz: float) -> None:
    """The setpoints never jump: no axis is faster, or changes its speed faster, than its limits allow.

    Ticks that the firmware lost (its process had no CPU) are no steps of the axes.
    """
    step = np.diff(trace["setpoints"], axis=0)
    assert np.abs(step).max() <= SPEED / hz + 2e-6
    assert np.abs(np.diff(step, axis=0)).max() <= ACCELERATION / hz**2 + 4e-6
