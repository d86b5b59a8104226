"""The simulated robot: Meta-World's arm behind the real firmware, which alone moves it.

    policy -> chunk -> Link -> serial -> firmware -> setpoint of every control step -> arm

By default the robot owns a firmware process in lockstep: no tick passes unless the simulation asks for it, so an
episode is the same on every machine. Attached to a port it is a guest of a firmware that runs in real time, and so is
the simulation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from hyt.errors import ChunkRejected, InputError, LinkError
from hyt.firmware_bridge import AxisConfig, FirmwareConfig, FirmwareProcess, Link, QemuFirmware, Result, State
from hyt.runtime.actions import ActionChunk
from hyt.runtime.contract import Contract
from hyt.runtime.observation import Observation, check_observation
from hyt.runtime.robot import Outcome
from hyt.simulation.metaworld import CONTROL_STEP, MAX_CONTROL_STEPS, METRES_PER_UNIT, MetaWorldArm
from hyt.simulation.setpoints import check_axes, control_steps_per_step, setpoints
from hyt.simulation.thoughts import sub_instruction

TICK_HZ = 400
"""One tick a physics step."""

TICKS_PER_CONTROL_STEP = round(CONTROL_STEP * TICK_HZ)

MAX_VELOCITY = METRES_PER_UNIT / CONTROL_STEP
"""Metres per second that the arm can follow: 1 cm in each control step."""

LINK_TIMEOUT_TICKS = 200
UNDERRUN_TIMEOUT_TICKS = 800

FIRMWARE = {"host": FirmwareProcess, "qemu": QemuFirmware}
"""What the firmware of a simulated arm can run on."""

_LEAD_TICKS = 8  # a chunk starts this far ahead in real time, so that it arrives before its start
_PING_TICKS = LINK_TIMEOUT_TICKS // 4
_HOMING_SPEED = MAX_VELOCITY / 2


def arm_firmware(limits: npt.NDArray[np.float64], initial: npt.NDArray[np.float64]) -> FirmwareConfig:
    """The firmware's configuration for the simulated arm; limits (4, 2) and initial setpoint (4,) in physical units."""
    axes = [
        AxisConfig(
            name=name,
            unit="m",
            low=float(limits[index, 0]),
            high=float(limits[index, 1]),
            max_velocity=1.05 * MAX_VELOCITY,  # a margin for rounding to micrometres
            max_acceleration=0.0,  # the simulated hand is pulled by a weld, which takes any jerk
            interpolation="linear",
            initial=float(initial[index]),
        )
        for index, name in enumerate(("x", "y", "z"))
    ]
    gripper = AxisConfig(
        name="gripper",
        unit="1",
        low=float(limits[3, 0]),
        high=float(limits[3, 1]),
        max_velocity=0.0,
        max_acceleration=0.0,
        interpolation="hold",
        initial=float(initial[3]),
    )
    return FirmwareConfig(
        axes=[*axes, gripper],
        tick_hz=TICK_HZ,
        link_timeout_ticks=LINK_TIMEOUT_TICKS,
        underrun_timeout_ticks=UNDERRUN_TIMEOUT_TICKS,
        stop_action="hold",
    )


class SimulatedRobot:
    """One Meta-World task; a `hyt.runtime.robot.Robot`.

    make_arm: makes the arm of the task (default: as Meta-World has it).
    port: a firmware that runs elsewhere in real time; None starts one of its own in lockstep, on what `mcu` says: this
    computer (`host`) or an emulated microcontroller (`qemu`). Raises InputError for an
    unknown task, or a contract whose cameras, state or actions are not this robot's; LinkError when the firmware cannot
    be reached.
    """

    def __init__(
        self,
        task: str,
        contract: Contract,
        *,
        port: str | None = None,
        mcu: str = "host",
        make_arm: Callable[[str], MetaWorldArm] = MetaWorldArm,
    ) -> None:
        self.name = f"sim:metaworld/{task}"
        self.on_control_step: Callable[[MetaWorldArm], None] | None = None
        self._dimensions = contract.action.dimensions
        self._control_steps = control_steps_per_step(contract)
        with ExitStack() as stack:
            self.arm = make_arm(task)
            stack.callback(self.arm.close)
            self.arm.reset(0)
            check_observation(self.observe_arm(), contract)
            self._limits = self.arm.limits
            self._firmware: FirmwareProcess | None = None
            if port is None:
                config = arm_firmware(self._limits, np.append(self.arm.setpoint, 0.0))
                self._firmware = stack.enter_context(FIRMWARE[mcu](config, lockstep=True))
                port = self._firmware.port
            self._link = stack.enter_context(Link(port))
            if self._link.info.tick_hz != TICK_HZ:
                raise InputError(
                    f"robot {self.name!r}: the firmware's tick rate",
                    expected=f"{TICK_HZ} Hz, one tick a physics step",
                    received=f"{self._link.info.tick_hz} Hz",
                    remedy=f"start the firmware with tick_hz={TICK_HZ}",
                )
            axes = [(axis.name, axis.unit) for axis in self._link.info.axes]
            points = contract.action.steps * self._control_steps * len(axes)
            check_axes(self.name, self._dimensions, axes, self._link.info.max_points, points)
            self._armed = False
            self._tick: int
            self._point: npt.NDArray[np.float64]
            self._exchange()
            self._first_tick = self._simulated_until = self._tick
            self._commanded = self._point
            self._resources = stack.pop_all()

    @property
    def instruction(self) -> str:
        """The task's own instruction."""
        return self.arm.task.instructions[0]

    def reset(self, seed: int) -> None:
        """Start the episode of this seed: place the object, arm, and bring the setpoints to where the arm stands."""
        self._rest()
        self.arm.reset(seed)
        self._link.arm()
        self._armed = True
        self._home(np.append(self.arm.setpoint, 0.0))

    def observe(self) -> Observation:
        """Images and state, now; in real time the arm first catches up with the clock."""
        self._exchange()
        self._catch_up()
        return self.observe_arm()

    def observe_arm(self) -> Observation:
        """What the arm's camera and joints say."""
        images, state = self.arm.observe()
        return Observation(images, state)

    def execute(self, chunk: ActionChunk) -> Outcome:
        """Send the chunk, advance firmware and arm until it has been executed or the episode is over.

        A chunk that reaches the firmware too late is sent once more and counted as late; any other refusal is raised.
        """
        points = setpoints(chunk.values, self._dimensions, self._commanded, self._limits, self._control_steps)
        late = False
        try:
            start = self._send(points, TICKS_PER_CONTROL_STEP)
        except ChunkRejected as rejection:
            if rejection.reason != Result.LATE.name:
                raise
            # The firmware came to rest where the last chunk ended, where this one begins: start it anew from now.
            late = True
            start = self._send(points, TICKS_PER_CONTROL_STEP)
        acknowledged = time.monotonic()
        self._run_until(start)
        self._catch_up()
        for step in range(1, len(points) + 1):
            self._control_step(start + step * TICKS_PER_CONTROL_STEP)
            if self.arm.done:
                break
        self._exchange()
        if self.arm.done:
            self._rest()
        return Outcome(self.arm.done, self.arm.success, self._tick, late, acknowledged)

    def stop(self) -> None:
        """Stop the firmware at once, whatever another thread does with the robot."""
        self._link.stop()

    def sub_instruction(self) -> str | None:
        """What an onlooker who knows the task would say now; None for a task without phases."""
        return sub_instruction(self.arm) if self.arm.task.has_phases else None

    def counters(self) -> Mapping[str, int]:
        """The firmware's counts as of the last exchange with it; its ticks since the robot was opened."""
        counters = self._telemetry.counters
        rejected = ("bad_framing", "bad_crc", "bad_version", "bad_message", "old_session")
        return {
            "ticks": self._tick - self._first_tick,
            "chunks": counters["chunks_accepted"],
            "rejected_frames": sum(counters[name] for name in rejected),
            "rejected_chunks": counters["chunks_rejected"],
            "limited_ticks": counters["limited_ticks"],
            "lost_ticks": counters["lost_ticks"],
        }

    def close(self) -> None:
        """Disarm, give the port back, end the own firmware."""
        self._resources.close()  # closing the link disarms

    def _rest(self) -> None:
        """Disarm between episodes, so that no timer trips while nobody decides."""
        if self._armed:
            self._armed = False
            self._link.disarm()

    def _home(self, target: npt.NDArray[np.float64]) -> None:
        """Bring the setpoints to `target` (4,) in one straight motion; the arm, which stands there, is not moved."""
        self._exchange()
        distance = np.abs(target - self._point)[:3].max()
        ticks = max(round(distance / _HOMING_SPEED * TICK_HZ), TICKS_PER_CONTROL_STEP)
        start = self._send(target[None], ticks)
        self._run_until(start + ticks)
        self._simulated_until = self._tick

    def _send(self, points: npt.NDArray[np.float64], step_ticks: int) -> int:
        """Send setpoints (steps, 4), each reached `step_ticks` after the one before; returns the tick they start at."""
        self._exchange()
        start = self._tick + (_LEAD_TICKS if self._firmware is None else 0)
        self._link.send_chunk(start, step_ticks, points)
        self._commanded = points[-1].copy()
        return start

    def _control_step(self, tick: int) -> None:
        """One control step of the arm towards the setpoint that the firmware puts out at `tick`."""
        self.arm.apply(self._run_until(tick))
        self._simulated_until = tick
        if self.on_control_step is not None:
            self.on_control_step(self.arm)

    def _run_until(self, tick: int) -> npt.NDArray[np.float64]:
        """Let the firmware come to `tick`; returns its setpoint (4,) there, in physical units."""
        while self._tick < tick:
            if self._firmware is not None:
                ticks = min(tick, self._heard + _PING_TICKS) - self._tick
                self._point = self._firmware.advance(ticks)[-1]
                self._tick += ticks
                if self._tick == self._heard + _PING_TICKS:
                    self._exchange()  # feeds the link watchdog, as the link's own heartbeat does in real time
            else:
                time.sleep((tick - self._tick) / self._link.info.tick_hz)
                self._exchange()
        return self._point

    def _exchange(self) -> None:
        """Hear from the firmware; raises LinkError when it has stopped by itself."""
        self._telemetry = self._link.telemetry()
        self._tick = self._heard = self._telemetry.tick
        self._point = np.array(self._telemetry.setpoints, dtype=np.float64)
        if self._armed and self._telemetry.state == State.STOPPED:
            raise LinkError(
                f"robot {self.name!r}: the firmware stopped at tick {self._telemetry.trip_tick}",
                expected="an armed firmware",
                received=self._telemetry.trip.name,
                remedy="a new session may arm it again",
            )

    def _catch_up(self) -> None:
        """Give the arm the control steps that passed while nobody moved it, holding the firmware's setpoint.

        In lockstep none have.
        """
        behind = (self._tick - self._simulated_until) // TICKS_PER_CONTROL_STEP
        for _ in range(min(behind, MAX_CONTROL_STEPS - self.arm.control_steps)):
            self.arm.apply(self._point)
            self._simulated_until += TICKS_PER_CONTROL_STEP
