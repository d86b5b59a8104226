"""A robot of nothing but a firmware: chunks are really sent, acknowledged and run in real time, and nothing moves.

What a camera would show is noise that was made before, so that measuring the loop measures the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hyt.firmware_bridge import AxisConfig, FirmwareConfig, FirmwareProcess, Link
from hyt.runtime.actions import ActionChunk
from hyt.runtime.contract import Action, Contract
from hyt.runtime.observation import Observation
from hyt.runtime.robot import Outcome, Sent, execute
from hyt.runtime.schedule.plan import Array
from hyt.runtime.schedule.sender import Sender, arm_at_rest
from hyt.runtime.schedule.stolen import StolenTime
from hyt.runtime.schedule.wait import sleep_until

TICK_RATES = (1000, 800, 400, 600, 500, 250)
"""Ticks a second, one of which divides nearly every step time."""

PATIENCE = 5
"""Seconds."""

REACH = 2000.0
"""Units to either side: far beyond what a policy says, so that no chunk is refused for where it goes."""


class Rig:
    """A `hyt.runtime.robot.Robot` with one axis for each dimension of the policy's actions.

    observations: shown in turn. `trace` names a CSV file of every setpoint, see FirmwareProcess; `axis` changes the
    configuration of each axis. Raises LinkError when the firmware does not start.
    """

    name = "rig"
    instruction = None
    stepped = False
    done = success = judges = False

    def __init__(
        self,
        contract: Contract,
        observations: Sequence[Observation],
        *,
        trace: Path | None = None,
        axis: Callable[[AxisConfig], AxisConfig] = lambda axis: axis,
    ) -> None:
        action = contract.action
        hz = min(TICK_RATES, key=lambda hz: abs(action.step_time * hz - round(action.step_time * hz)))
        self.step_ticks = max(round(action.step_time * hz), 1)
        self._delta = np.array([dimension.semantics != "absolute" for dimension in action.dimensions])
        self._observations, self._shown = observations, 0
        axes = [axis(config) for config in _axes(action)]
        # A program on a busy computer is held up as no microcontroller is: its timers are to end no measurement.
        patience = PATIENCE * hz
        config = FirmwareConfig(
            axes, tick_hz=hz, link_timeout_ticks=patience, stop_action="decelerate", stall_limit_ticks=patience
        )
        self._firmware = FirmwareProcess(config, lockstep=False, trace=trace)
        try:
            self._link = Link(self._firmware.port)
        except BaseException:
            self._firmware.close()
            raise
        self._last_tick = self._link.telemetry().tick
        self._stolen = StolenTime()
        self.stolen = 0.0  # seconds of the latest decision that a hypervisor took
        relative = bool(self._delta.any())
        self._sender = Sender(self._link, self.name, tick=self.tick, row_ticks=self.step_ticks, relative=relative)
        self._sender.rest_at(np.zeros(len(axes)))

    @property
    def tick_hz(self) -> float:
        """Ticks a second, as the link's clock has measured them."""
        return self._link.clock.rate

    def reset(self, seed: int) -> None:
        """Arm."""
        self.rest()
        arm_at_rest(self._link)
        self._sender.rest_at(self._link.telemetry().setpoints)

    def observe(self) -> Observation:
        """The next observation."""
        self._shown += 1
        self._stolen.begin()
        return self._observations[self._shown % len(self._observations)]

    def tick(self) -> int:
        """The firmware's tick by the link's clock."""
        self._last_tick += (self._link.clock.now() - self._last_tick + 2**31) % 2**32 - 2**31
        return self._last_tick

    def time_of(self, tick: float) -> float:
        """`time.monotonic()` at this tick, by the link's clock."""
        return self._link.clock.time_of(tick)

    def send(self, chunk: ActionChunk, *, start: int | None = None, steps: int | None = None, blend: int = 0) -> Sent:
        """Send the chunk as `Robot.send` says; velocities count as deltas, and what would go out of reach stays."""
        self.stolen = self._stolen.end()
        values = chunk.values.astype(np.float64)
        points: Array = np.where(self._delta, self._sender.commanded + np.cumsum(values, axis=0), values)
        return self._sender.send(np.clip(points, -REACH, REACH), start=start, rows=steps, blend=blend)

    def wait_until(self, tick: float) -> None:
        """Sleep until `tick`."""
        sleep_until(self.time_of(tick))

    def execute(self, chunk: ActionChunk) -> Outcome:
        """Send the chunk and wait until it has been executed."""
        return execute(self, chunk)

    def rest(self) -> None:
        """Disarm."""
        self._link.disarm()

    def stop(self) -> None:
        """Stop the firmware."""
        self._link.stop()

    def sub_instruction(self) -> str | None:
        """None: nobody looks on."""
        return None

    def counters(self) -> Mapping[str, int]:
        """All counters of the firmware, by a round trip."""
        return dict(self._link.telemetry().counters)

    def close(self) -> None:
        """Disarm, end the firmware."""
        try:
            self._link.close()
        finally:
            self._firmware.close()
            self._stolen.close()


def _axes(action: Action) -> list[AxisConfig]:
    return [AxisConfig(f"axis{index}", "", -REACH, REACH, 0.0, 0.0) for index in range(len(action.dimensions))]
