"""The simulated robot: Meta-World's arm behind the real firmware, which alone moves it.

    policy -> chunk -> Link -> serial -> firmware -> setpoint of every control step -> arm

By default the robot owns a firmware process in lockstep: no tick passes unless the simulation asks for it, so an
episode is the same on every machine. In real time, with a firmware of its own or as the guest of one on a port, the
firmware tells its setpoints as they pass, and the arm takes them when it next catches up with the clock.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from hyt.errors import ChunkRejected, InputError, LinkError
from hyt.firmware_bridge import AxisConfig, Event, FirmwareConfig, FirmwareProcess, Heard, Link, QemuFirmware, State
from hyt.runtime.actions import ActionChunk
from hyt.runtime.contract import Contract
from hyt.runtime.observation import Observation, check_observation
from hyt.runtime.robot import Outcome, Sent, execute
from hyt.runtime.schedule.sender import Sender
from hyt.runtime.schedule.wait import sleep_until
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

_HOME_LEAD_TICKS = 8  # in real time, so that the way home arrives before its start
_CATCH_UP = 0.004  # seconds that one control step of the simulated physics may take, with room to spare
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
    port: a firmware that runs elsewhere in real time; None starts one of its own, on what `mcu` says: this computer
    (`host`) or an emulated microcontroller (`qemu`); in lockstep, or by the clock with `real_time`.
    max_first_jump: see `hyt.runtime.schedule.plan.check_first_jump`.
    Raises InputError for an unknown task, or a contract whose cameras, state or actions are not this robot's; LinkError
    when the firmware cannot be reached.
    """

    def __init__(
        self,
        task: str,
        contract: Contract,
        *,
        port: str | None = None,
        mcu: str = "host",
        real_time: bool = False,
        max_first_jump: float | None = None,
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
            self._firmware: FirmwareProcess | None = None  # in lockstep
            if port is None:
                config = arm_firmware(self._limits, np.append(self.arm.setpoint, 0.0))
                firmware = stack.enter_context(FIRMWARE[mcu](config, lockstep=not real_time))
                self._firmware = None if real_time else firmware
                port = firmware.port
            # What the firmware put out, at which of its ticks: filled in the link's thread, emptied in the loop's.
            self._heard_setpoints: deque[tuple[int, npt.NDArray[np.float64]]] = deque(maxlen=MAX_CONTROL_STEPS)
            self._link = stack.enter_context(Link(port, on_event=self._note))
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
            self._tick = self._link.telemetry().tick
            self._point: npt.NDArray[np.float64]
            self._exchange()
            self._first_tick = self._simulated_until = self._tick
            if not self.stepped:
                self._link.subscribe(TICKS_PER_CONTROL_STEP)
            self._sender = Sender(
                self._link,
                self.name,
                tick=self.tick,
                row_ticks=TICKS_PER_CONTROL_STEP,
                relative=any(dimension.semantics != "absolute" for dimension in self._dimensions),
                max_first_jump=max_first_jump,
            )
            self._resources = stack.pop_all()

    @property
    def instruction(self) -> str:
        """The task's own instruction."""
        return self.arm.task.instructions[0]

    @property
    def stepped(self) -> bool:
        """Whether its own firmware runs in lockstep."""
        return self._firmware is not None

    @property
    def tick_hz(self) -> float:
        """Ticks a second."""
        return TICK_HZ if self.stepped else self._link.clock.rate

    @property
    def step_ticks(self) -> int:
        """Ticks of one step of a chunk."""
        return self._control_steps * TICKS_PER_CONTROL_STEP

    @property
    def done(self) -> bool:
        """Whether the task is solved or the episode at its longest."""
        return self.arm.done

    @property
    def judges(self) -> bool:
        """True: the simulator knows."""
        return True

    @property
    def success(self) -> bool:
        """Whether the task is solved."""
        return self.arm.success

    def reset(self, seed: int) -> None:
        """Start the episode of this seed: place the object, arm, and bring the setpoints to where the arm stands."""
        self.rest()
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

    def tick(self) -> int:
        """The firmware's tick: in lockstep the one that was asked for last, in real time by the link's clock."""
        return self._tick if self.stepped else self._unwrapped(self._link.clock.now())

    def time_of(self, tick: float) -> float:
        """`time.monotonic()` at this tick, by the link's clock."""
        return self._link.clock.time_of(tick)

    def send(self, chunk: ActionChunk, *, start: int | None = None, steps: int | None = None, blend: int = 0) -> Sent:
        """Send the chunk, a row of setpoints for each control step, as `Robot.send` says."""
        points = setpoints(chunk.values, self._dimensions, self._sender.commanded, self._limits, self._control_steps)
        rows = None if steps is None else steps * self._control_steps
        try:
            return self._sender.send(points, start=start, rows=rows, blend=blend * self._control_steps)
        except ChunkRejected:
            self._exchange()  # a firmware that has stopped says why
            raise

    def wait_until(self, tick: float) -> None:
        """Let the firmware and the arm come to this tick, or to the end of the episode."""
        if self.stepped and self._tick < tick:
            while self._simulated_until + TICKS_PER_CONTROL_STEP <= tick and not self.arm.done:
                self._control_step(self._simulated_until + TICKS_PER_CONTROL_STEP)
            self._exchange()
        elif not self.stepped:
            self._pass_time(tick)
        if self.arm.done:
            self.rest()

    def execute(self, chunk: ActionChunk) -> Outcome:
        """Send the chunk to start as soon as possible; returns when it has been executed or the episode is over."""
        return execute(self, chunk)

    def rest(self) -> None:
        """Disarm, as between episodes, so that no timer trips while nobody decides."""
        if self._armed:
            self._armed = False
            self._link.disarm()

    def stop(self) -> None:
        """Stop the firmware at once, whatever another thread does with the robot."""
        self._link.stop()

    def sub_instruction(self) -> str | None:
        """What an onlooker who knows the task would say now; None for a task without phases."""
        return sub_instruction(self.arm) if self.arm.task.has_phases else None

    def counters(self) -> Mapping[str, int]:
        """The firmware's counts as it told them last; ticks since the robot was opened; what the wire cost us."""
        counters, host = (self._link.latest or self._telemetry).counters, self._link.statistics
        rejected = ("bad_framing", "bad_crc", "bad_version", "bad_message", "old_session")
        return {
            "ticks": self._tick - self._first_tick,
            "chunks": counters["chunks_accepted"],
            "rejected_frames": sum(counters[name] for name in rejected),
            "rejected_chunks": counters["chunks_rejected"],
            "limited_ticks": counters["limited_ticks"],
            "lost_ticks": counters["lost_ticks"],
            "resent_frames": host.resent,
            "lost_frames": host.lost,
        }

    def close(self) -> None:
        """Disarm, give the port back, end the own firmware."""
        self._resources.close()  # closing the link disarms

    def _home(self, target: npt.NDArray[np.float64]) -> None:
        """Bring the setpoints to `target` (4,) in one straight motion; the arm, which stands there, is not moved."""
        self._exchange()
        distance = np.abs(target - self._point)[:3].max()
        ticks = max(round(distance / _HOMING_SPEED * TICK_HZ), TICKS_PER_CONTROL_STEP)
        start = self.tick() + (0 if self.stepped else _HOME_LEAD_TICKS)
        self._link.send_chunk(start % 2**32, ticks, target[None])
        self._run_until(start + ticks)
        self._simulated_until = self._tick
        self._heard_setpoints.clear()
        self._sender.rest_at(target)

    def _control_step(self, tick: int) -> None:
        """One control step of the arm towards the setpoint that the firmware puts out at `tick`."""
        self._take(self._run_until(tick), tick)

    def _take(self, setpoint: npt.NDArray[np.float64], tick: int) -> None:
        self.arm.apply(setpoint)
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
                time.sleep((tick - self._tick) / TICK_HZ)
                self._exchange()
        return self._point

    def _exchange(self) -> None:
        """Hear from the firmware; raises LinkError when it has stopped by itself."""
        self._telemetry = self._link.telemetry()
        self._tick = self._heard = self._unwrapped(self._telemetry.tick)
        self._point = np.array(self._telemetry.setpoints, dtype=np.float64)
        if self._armed and self._telemetry.state == State.STOPPED:
            raise LinkError(
                f"robot {self.name!r}: the firmware stopped at tick {self._telemetry.trip_tick}",
                expected="an armed firmware",
                received=self._telemetry.trip.name,
                remedy="a new session may arm it again",
            )

    def _unwrapped(self, tick: int) -> int:
        """A tick of the firmware, which wraps, counted on from the last."""
        return self._tick + ((tick - self._tick + 2**31) % 2**32 - 2**31)

    def _note(self, event: Event) -> None:
        """Keep what the firmware puts out; called in the link's thread."""
        if isinstance(event, Heard):
            telemetry = event.telemetry
            self._heard_setpoints.append((telemetry.tick, np.array(telemetry.setpoints, dtype=np.float64)))

    def _pass_time(self, tick: float) -> None:
        """Sleep until `tick`, keep the arm up with the clock where there is time for it, and look at the firmware."""
        while not self.arm.done:
            moment = self.time_of(tick)
            left = moment - time.monotonic()
            latest = self._link.latest
            if latest is not None and latest.state is State.STOPPED:
                self._exchange()
            if left <= 0:
                break
            while self._simulated_until + TICKS_PER_CONTROL_STEP <= self.tick() and left > _CATCH_UP:
                simulated = self._simulated_until
                self._catch_up(1)
                left = moment - time.monotonic()
                if self._simulated_until == simulated:
                    break
            if moment - time.monotonic() > 2 * CONTROL_STEP:
                time.sleep(CONTROL_STEP)
            else:
                sleep_until(moment)
        if tick >= self._sender.end_tick:
            self._exchange()  # nothing more is to come, so there is time to ask

    def _catch_up(self, most: int = MAX_CONTROL_STEPS) -> None:
        """Give the arm the control steps that have passed, `most` at most, each with what the firmware put out in it.

        In lockstep none have.
        """
        for _ in range(most):
            if self.arm.done or not self._heard_setpoints:
                return
            until = self._simulated_until + TICKS_PER_CONTROL_STEP
            if self._unwrapped(self._heard_setpoints[-1][0]) < until:
                return
            while self._unwrapped(self._heard_setpoints[0][0]) < until:
                self._heard_setpoints.popleft()
            self._take(self._heard_setpoints[0][1], until)
