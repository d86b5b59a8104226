"""When a turn of the loop is due and when its chunk starts, in the ticks of the firmware.

A chunk starts where the one before ends, so that the motion has no gap. The turn that decides it begins earlier by the
lead: what observing, deciding and sending take, as measured. A chunk that comes too late starts at the next possible
tick, and all that follows is counted from there: nothing hurries to make up for a missed period.

Where the robot's time stands still between ticks there is no lead, and every turn is in time.
"""

from __future__ import annotations

import time

from hyt.runtime.robot import Robot, Sent
from hyt.runtime.schedule.budget import Estimate

MARGIN = 0.001
"""Seconds that a turn begins earlier than the measured times ask for: what a sleeping thread may oversleep."""

GIVE_BACK = 0.0005
"""Seconds between the end of thinking and the next turn, besides what publishing a thought was measured to take."""

SHORTEST = 0.0001
"""Seconds that publishing is taken to last at least."""


class Pace:
    """Paces one episode on one robot, by `period_steps` steps of its chunks."""

    def __init__(self, robot: Robot, period_steps: int) -> None:
        self._robot = robot
        self._period = period_steps * robot.step_ticks
        self._work = Estimate()  # seconds from the beginning of a turn until its chunk must be on the wire
        self._overrun = Estimate()  # seconds of thinking beyond its limit: the thought's text, and what listeners do
        self._start: int | None = None  # tick at which the next chunk is to start; None before the first

    @property
    def lead(self) -> float:
        """Seconds before a chunk's start at which its turn begins: a period at most.

        A computer that needs longer cannot keep up, and its chunks are late. Turns that began earlier still would act
        on older observations, and fill the firmware's queue.
        """
        if self._robot.stepped or not len(self._work):
            return 0.0
        return min(self._work.upper + MARGIN, self._period / self._robot.tick_hz)

    @property
    def due_tick(self) -> float | None:
        """Tick at which the next turn is due; None for at once."""
        return None if self._start is None else self._start - self.lead * self._robot.tick_hz

    @property
    def due(self) -> float:
        """And its `time.monotonic()` in seconds: now, where nothing is waited for."""
        tick = self.due_tick
        return time.monotonic() if tick is None or self._robot.stepped else self._robot.time_of(tick)

    def wait(self) -> float:
        """Let the robot come to the next turn; returns the `time.monotonic()` at which that was due."""
        due, tick = self.due, self.due_tick
        if tick is not None:
            self._robot.wait_until(tick)
        return due

    def finish(self) -> None:
        """Let the robot come to the end of the last chunk."""
        if self._start is not None:
            self._robot.wait_until(self._start)

    @property
    def until(self) -> float:
        """`time.monotonic()` until which the machine is free for thoughts; infinity where the robot waits."""
        return float("inf") if self._robot.stepped else self.due - GIVE_BACK - self._overrun.upper

    def gave_back(self, began: float, until: float) -> None:
        """Thinking that began at `began` and was to end at `until` has ended now."""
        seconds = time.monotonic() - until
        # Else it ended by itself, or the turn was over before it could begin: that says nothing.
        if began < until and seconds > -GIVE_BACK:
            self._overrun.add(max(seconds, SHORTEST))

    @property
    def now(self) -> float:
        """The robot's time in seconds, for limits."""
        return self._robot.tick() / self._robot.tick_hz if self._robot.stepped else time.monotonic()

    def rehearse(self, seconds: float) -> None:
        """A turn without sending took so long."""
        self._work.add(seconds)

    def start(self, began: float) -> int | None:
        """Tick for the chunk of the turn that began then; None for the next possible one.

        A turn that began too late gets the tick that such turns usually reach: what has to be dropped of its chunk is
        counted from there, and the chunk is late.
        """
        if self._start is None or self._robot.stepped:
            return self._start
        usual = self._robot.tick() + (began + self._work.median - time.monotonic()) * self._robot.tick_hz
        return max(self._start, int(usual))

    def sent(self, began: float, handed: float, sent: Sent) -> bool:
        """The chunk of the turn that began at `began` was handed over at `handed`; returns whether it is late."""
        late = sent.late or (self._start is not None and sent.start_tick > self._start)
        self._work.add(handed - began + sent.needed)
        self._start = sent.start_tick + self._period
        return late
