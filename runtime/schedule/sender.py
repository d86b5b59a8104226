"""Sends plans of absolute setpoints over a link, each at its tick, and remembers what was planned and not sent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from hyt.errors import ChunkRejected
from hyt.firmware_bridge import Link, Result, State
from hyt.runtime.robot import Sent
from hyt.runtime.schedule.budget import Estimate
from hyt.runtime.schedule.plan import Array, blended, check_first_jump, fresh_rows

ARRIVAL = 0.002
"""Seconds between a chunk's arrival and its start that are aimed at, besides the round trip."""

FIRST_ARRIVAL = 0.02
"""And where nothing ran before: there is nothing to be late for."""

ATTEMPTS = 5
"""How often a late chunk is sent in all, each time with twice the lead."""

ROUNDING = 2.5
"""Ticks that rounding the clock, and the lead up to whole ticks and one more, take at most."""

COMES_TO_REST = 5.0
"""Seconds in which an arm that was disarmed must have stopped."""


def arm_at_rest(link: Link) -> None:
    """Arm as soon as the axes are at rest; raises LinkError when they do not come to it, or the firmware refuses."""
    deadline = time.monotonic() + COMES_TO_REST
    while link.telemetry().state is State.STOPPING and time.monotonic() < deadline:
        time.sleep(ARRIVAL)
    link.arm()


class Sender:
    """Sends one robot's plans.

    tick:           the firmware's tick now, counted without wrapping
    row_ticks:      ticks of one row of a plan
    relative:       the plans build on the setpoint commanded last: time that passes makes no row of them stale
    byte_seconds:   of one byte on the wire
    max_first_jump: see `check_first_jump`

    `commanded` (axes,) is the setpoint sent last, `end_tick` the tick at which it is reached.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        *,
        tick: Callable[[], int],
        row_ticks: int,
        relative: bool,
        byte_seconds: float = 0.0,
        max_first_jump: float | None = None,
    ) -> None:
        self.commanded: Array = np.zeros(len(link.info.axes))
        self._link, self._name, self._tick = link, name, tick
        self._row_ticks, self._relative = row_ticks, relative
        self._byte_seconds, self._max_first_jump = byte_seconds, max_first_jump
        self._rtt = Estimate()
        self._remainder: Array = self.commanded[None][:0]
        self.end_tick = 0  # of what was sent; the remainder was planned for the ticks behind it
        self._resting: tuple[Array, ...] | None = ()  # where the axes are before the first plan; None behind it

    def rest_at(self, commanded: Array, *measured: Array) -> None:
        """Nothing runs: the next plan begins at these setpoints (axes,), with the axes measured there."""
        self.commanded = commanded.copy()
        self._remainder = self.commanded[None][:0]
        self._resting = (self.commanded, *measured)

    def send(self, points: Array, *, start: int | None = None, rows: int | None = None, blend: int = 0) -> Sent:
        """Send the first `rows` of `points` (n, axes) as `Robot.send` says, blending over `blend` rows."""
        if self._resting is not None:
            if not self._relative:
                seconds = self._row_ticks / self._link.info.tick_hz
                check_first_jump(
                    self._name, points[0], self._resting, self._link.info.axes, seconds, self._max_first_jump
                )
            self._resting = None
        needed = self._needed(len(points) if rows is None else min(rows, len(points)))
        lead = needed if start is not None else max(needed, self._arrival(FIRST_ARRIVAL))
        begin = self._next(lead)
        planned = begin if start is None else start
        begin = max(begin, planned)
        for attempt in range(1, ATTEMPTS):
            try:
                return self._place(points, planned, begin, rows, blend, needed)
            except ChunkRejected as rejection:
                if rejection.reason != Result.LATE.name:
                    raise
            # What ran before has ended, for this was to start behind it: the axes rest at the last setpoint.
            begin = self._next(max(needed, self._arrival(FIRST_ARRIVAL)) * 2**attempt)
        return self._place(points, planned, begin, rows, blend, needed)

    def _place(self, points: Array, planned: int, begin: int, rows: int | None, blend: int, needed: float) -> Sent:
        plan, remainder = points, self._remainder
        if not self._relative:
            plan = fresh_rows(points, begin - planned, self._row_ticks)
            remainder = remainder[max(begin - self.end_tick, 0) // self._row_ticks :]
        plan = blended(plan, remainder, blend, self._link.info.axes)
        part = plan[:rows]
        end = self._push(part, begin)
        acknowledged = time.monotonic()
        self.commanded = part[-1].copy()
        self._remainder, self.end_tick = plan[len(part) :], end
        return Sent(
            begin, end, begin > planned, acknowledged, needed + self._arrival(ROUNDING / self._link.info.tick_hz)
        )

    def _push(self, points: Array, begin: int) -> int:
        """Send setpoints in as many chunks as the firmware needs; returns the tick at which they end."""
        info = self._link.info
        rows = info.max_points // len(info.axes)
        tick = begin
        for first in range(0, len(points), rows):
            part = points[first : first + rows]
            if first:
                self._wait_for_credit()
            asked = time.monotonic()
            self._link.send_chunk(tick % 2**32, self._row_ticks, part)
            self._rtt.add(time.monotonic() - asked)
            tick += len(part) * self._row_ticks
        return tick

    def _wait_for_credit(self) -> None:
        while self._link.telemetry().credit == 0:
            time.sleep(FIRST_ARRIVAL)

    def _needed(self, rows: int) -> float:
        """Seconds before its start at which a plan of so many rows must be handed over."""
        if self._link.info.lockstep:
            return 0.0
        info = self._link.info
        wire = min(rows, info.max_points // len(info.axes)) * len(info.axes) * 4 * self._byte_seconds
        # Before the first of them, what the handshake took.
        trip = self._rtt.upper if len(self._rtt) else self._link.statistics.round_trip_p99
        return self._arrival(ARRIVAL) + wire + (trip if math.isfinite(trip) else 0.0)

    def _arrival(self, seconds: float) -> float:
        return 0.0 if self._link.info.lockstep else seconds

    def _next(self, lead: float) -> int:
        """The next tick at which a plan can start that is handed over now."""
        return self._tick() + (0 if self._link.info.lockstep else math.ceil(lead * self._link.info.tick_hz) + 1)
