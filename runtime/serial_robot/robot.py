"""SerialRobot: a real robot behind a HyT firmware, as a robot.toml describes it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from hyt.errors import ChunkRejected, LinkError
from hyt.firmware_bridge import FirmwareProcess, Link, State, Telemetry
from hyt.runtime.actions import ActionChunk
from hyt.runtime.cameras import look, open_camera
from hyt.runtime.contract import Contract
from hyt.runtime.observation import Observation, check_observation
from hyt.runtime.robot import Outcome, Sent, execute
from hyt.runtime.schedule.sender import Sender, arm_at_rest
from hyt.runtime.schedule.wait import sleep_until
from hyt.runtime.serial_robot.description import read_description
from hyt.runtime.serial_robot.fit import check_contract, check_firmware, step_ticks
from hyt.runtime.serial_robot.kinematics import Array
from hyt.runtime.serial_robot.plan import Planner

VIRTUAL = "virtual:"
LOOK = 0.02  # seconds between two looks at the firmware while a chunk runs


class SerialRobot:
    """The robot of one robot.toml, for policies of one contract; a `hyt.runtime.robot.Robot`.

    Nothing moves before `reset` arms the firmware. With `dry_run` it never does: every setpoint goes to `show`, a
    function of one line of text, and none to the firmware. An episode has no end of its own: the robot cannot tell
    success. For `max_first_jump` see `hyt.runtime.schedule.plan.check_first_jump`.

    Raises InputError that names the key of robot.toml which does not fit the contract or the firmware, LinkError when
    the firmware cannot be reached, MissingDependencyError without OpenCV.
    """

    def __init__(
        self,
        path: Path,
        contract: Contract,
        *,
        dry_run: bool = False,
        max_first_jump: float | None = None,
        show: Callable[[str], None] = print,
    ) -> None:
        self.description = read_description(path)
        check_contract(self.description, contract)
        self._contract, self._dry_run, self._show = contract, dry_run, show
        self._planner = Planner(self.description, contract)
        self.step_ticks = step_ticks(self.description, contract)
        self._armed = False
        with ExitStack() as stack:
            self._cameras = []
            for camera in contract.cameras:
                table = next(table for table in self.description.cameras if table.name == camera.name)
                source = open_camera(table, path.parent)
                stack.callback(source.close)
                self._cameras.append((camera, table, source))
            port = self.description.port.device
            if port == VIRTUAL:
                port = stack.enter_context(FirmwareProcess(self.description.firmware_config(), lockstep=False)).port
            self._link = stack.enter_context(Link(port, baudrate=self.description.port.baudrate))
            check_firmware(self.description, self._link.info)
            self._telemetry = self._hear()
            self._first_tick = self._last_tick = self._telemetry.tick
            self._sender = Sender(
                self._link,
                self.name,
                tick=self.tick,
                row_ticks=self.step_ticks,
                relative=self._planner.relative,
                byte_seconds=10 / self.description.port.baudrate,
                max_first_jump=max_first_jump,
            )
            check_observation(self.observe(), contract)
            self._resources = stack.pop_all()

    @property
    def name(self) -> str:
        """Its name in robot.toml."""
        return f"serial:{self.description.robot.name}"

    @property
    def instruction(self) -> str | None:
        """The instruction in robot.toml."""
        return self.description.robot.instruction

    @property
    def stepped(self) -> bool:
        """False: a real robot's time runs by the clock."""
        return False

    @property
    def tick_hz(self) -> float:
        """Ticks a second, as the link's clock has measured them."""
        return self._link.clock.rate

    @property
    def done(self) -> bool:
        """False: an episode of a real robot has no end of its own."""
        return False

    @property
    def judges(self) -> bool:
        """False: nothing of it tells."""
        return False

    @property
    def success(self) -> bool:
        """False: it cannot tell."""
        return False

    @property
    def where(self) -> str:
        """Its port and axes in words, for the question before the first arming."""
        axes = ", ".join(axis.name for axis in self.description.axes)
        return f"{self.description.robot.name} on {self.description.port.device} (axes {axes})"

    def reset(self, seed: int) -> None:
        """Arm the firmware where the robot stands; the seed says nothing to a real robot."""
        if not self._dry_run:
            if self._armed:
                self._link.disarm()
            arm_at_rest(self._link)
            self._armed = True
        self._telemetry = self._hear()
        self._sender.rest_at(self._telemetry.setpoints, self._telemetry.positions)

    def observe(self) -> Observation:
        """An image of each camera and the state from telemetry.

        Raises RobotError when a camera has failed, is frozen, or its image is too old.
        """
        self._telemetry = self._hear()
        seen = {camera.name: look(source, table, camera) for camera, table, source in self._cameras}
        state = self._planner.state(self._telemetry.positions).astype(np.float32)
        now = time.monotonic()
        return Observation(
            {name: image for name, (image, _) in seen.items()},
            state,
            frame_ages={name: now - taken for name, (_, taken) in seen.items()},
        )

    def tick(self) -> int:
        """The firmware's tick by the link's clock, counted on without wrapping."""
        now = self._link.clock.now()
        self._last_tick += (now - self._last_tick + 2**31) % 2**32 - 2**31
        return self._last_tick

    def time_of(self, tick: float) -> float:
        """`time.monotonic()` at this tick, by the link's clock."""
        return self._link.clock.time_of(tick)

    def send(self, chunk: ActionChunk, *, start: int | None = None, steps: int | None = None, blend: int = 0) -> Sent:
        """Send the chunk as `Robot.send` says.

        One of deltas or velocities that is lost stops the run with a LinkError that says why: what follows was meant to
        build on its motion. One that is late is not lost: the axes rest at the setpoint that it begins from.
        """
        points = self._planner.setpoints(
            chunk, self._sender.commanded, self._telemetry.positions, self.step_ticks / self._link.info.tick_hz
        )
        if self._dry_run:
            return self._shown(points[:steps], start)
        try:
            return self._sender.send(points, start=start, rows=steps, blend=blend)
        except ChunkRejected as rejection:
            self._telemetry = self._hear()  # a firmware that has stopped says why
            if self._planner.relative:
                raise LinkError(
                    f"robot {self.name!r}: a chunk of deltas or velocities was lost",
                    received=str(rejection),
                    remedy="the run has stopped where it was; see to the cause and drive again",
                ) from rejection
            raise

    def wait_until(self, tick: float) -> None:
        """Sleep until `tick`; raises LinkError as soon as the firmware says that it has stopped."""
        while True:
            latest = self._link.latest
            if self._armed and latest is not None and latest.state is not State.ARMED:
                self._hear()
            moment = self.time_of(tick)
            if moment - time.monotonic() <= LOOK:
                sleep_until(moment)
                break
            time.sleep(LOOK)
        if tick >= self._sender.end_tick:
            # Nothing more is to come, so there is time to ask: the clock is an estimate, the firmware's tick is none.
            while (math.ceil(tick) - self._ask_now() + 2**31) % 2**32 > 2**31:
                time.sleep(1 / self._link.info.tick_hz)

    def execute(self, chunk: ActionChunk) -> Outcome:
        """Send the chunk to start as soon as possible; returns when it has been executed."""
        return execute(self, chunk)

    def rest(self) -> None:
        """Disarm: the firmware ends any motion as it is configured to."""
        if self._armed:
            self._armed = False
            self._link.disarm()

    def stop(self) -> None:
        """Stop the firmware at once, whatever another thread does with the robot."""
        self._link.stop()

    def sub_instruction(self) -> str | None:
        """None: nobody looks on."""
        return None

    def counters(self) -> Mapping[str, int]:
        """The firmware's counts as it told them last; ticks since the robot was opened; what the wire cost us."""
        counters, host = (self._link.latest or self._telemetry).counters, self._link.statistics
        rejected = ("bad_framing", "bad_crc", "bad_version", "bad_message", "old_session")
        return {
            "ticks": self.tick() - self._first_tick,
            "chunks": counters["chunks_accepted"],
            "rejected_frames": sum(counters[name] for name in rejected),
            "rejected_chunks": counters["chunks_rejected"],
            "limited_ticks": counters["limited_ticks"],
            "lost_ticks": counters["lost_ticks"],
            "resent_frames": host.resent,
            "lost_frames": host.lost,
            "clipped_setpoints": self._planner.clipped,
        }

    def close(self) -> None:
        """Disarm, give port and cameras back."""
        self._resources.close()  # closing the link disarms

    def _ask_now(self) -> int:
        self._telemetry = self._hear()
        return self._telemetry.tick

    def _hear(self) -> Telemetry:
        telemetry = self._link.telemetry()
        if self._armed and telemetry.state is not State.ARMED:
            self._armed = False
            raise LinkError(
                f"robot {self.name!r}: the firmware stopped at tick {telemetry.trip_tick}",
                expected="an armed firmware",
                received=telemetry.trip.name,
                remedy="see to the cause, then drive again",
            )
        return telemetry

    def _shown(self, points: Array, start: int | None) -> Sent:
        for row in points:
            axes = zip(self.description.axes, row, strict=True)
            self._show("would send " + "  ".join(f"{a.name} {value:+.6f} {a.unit}".rstrip() for a, value in axes))
        self._sender.commanded = points[-1].copy()
        now = self.tick()
        begin = now if start is None else max(start, now)
        late = start is not None and begin > start
        # The motion would take its time: cameras and clock go on.
        return Sent(begin, begin + len(points) * self.step_ticks, late, time.monotonic())
