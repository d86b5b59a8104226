"""SerialRobot: a real robot behind a HyT firmware, as a robot.toml describes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from hyt.errors import ChunkRejected, LinkError
from hyt.firmware_bridge import FirmwareProcess, Link, Result, State, Telemetry
from hyt.runtime.actions import ActionChunk
from hyt.runtime.cameras import look, open_camera
from hyt.runtime.contract import Contract
from hyt.runtime.observation import Observation, check_observation
from hyt.runtime.robot import Outcome
from hyt.runtime.serial_robot.description import read_description
from hyt.runtime.serial_robot.fit import check_contract, check_firmware, step_ticks
from hyt.runtime.serial_robot.kinematics import Array
from hyt.runtime.serial_robot.plan import Planner

VIRTUAL = "virtual:"
LEAD = 0.02  # seconds a chunk is sent before it starts, besides what the wire takes
LOSSY_LEAD = 0.3  # and this on a wire that has lost something before: time to send the chunk again, twice
LOOK = 0.02  # seconds between two looks at the firmware while a chunk runs


class SerialRobot:
    """The robot of one robot.toml, for policies of one contract; a `hyt.runtime.robot.Robot`.

    Nothing moves before `reset` arms the firmware. With `dry_run` it never does: every setpoint goes to `show`, a
    function of one line of text, and none to the firmware. An episode has no end of its own: the robot cannot tell
    success.

    Raises InputError that names the key of robot.toml which does not fit the contract or the firmware, LinkError when
    the firmware cannot be reached, MissingDependencyError without OpenCV.
    """

    def __init__(
        self, path: Path, contract: Contract, *, dry_run: bool = False, show: Callable[[str], None] = print
    ) -> None:
        self.description = read_description(path)
        check_contract(self.description, contract)
        self._contract, self._dry_run, self._show = contract, dry_run, show
        self._planner = Planner(self.description, contract)
        self._step_ticks = step_ticks(self.description, contract)
        self._armed = False
        self._chunks = self._late = 0
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
            self._first_tick = self._telemetry.tick
            self._commanded: Array = self._telemetry.setpoints.copy()
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
    def where(self) -> str:
        """Its port and axes in words, for the question before the first arming."""
        axes = ", ".join(axis.name for axis in self.description.axes)
        return f"{self.description.robot.name} on {self.description.port.device} (axes {axes})"

    def reset(self, seed: int) -> None:
        """Arm the firmware where the robot stands; the seed says nothing to a real robot."""
        if not self._dry_run:
            if self._armed:
                self._link.disarm()
            self._link.arm()
            self._armed = True
        self._telemetry = self._hear()
        self._commanded = self._telemetry.setpoints.copy()

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

    def execute(self, chunk: ActionChunk) -> Outcome:
        """Send the chunk and wait until it has been executed.

        A late chunk of absolute values is sent once more. One of deltas or velocities that is lost stops the run with
        a LinkError that says why: what follows was meant to build on its motion.
        """
        info = self._link.info
        points = self._planner.setpoints(
            chunk, self._commanded, self._telemetry.positions, self._step_ticks / info.tick_hz
        )
        if self._dry_run:
            return self._shown(points)
        late = False
        try:
            end = self._send(points)
        except ChunkRejected as rejection:
            if self._planner.relative:
                raise LinkError(
                    f"robot {self.name!r}: a chunk of deltas or velocities was lost",
                    received=str(rejection),
                    remedy="the run has stopped where it was; see to the cause and drive again",
                ) from rejection
            if rejection.reason != Result.LATE.name:
                raise
            late = True
            end = self._send(points)
        acknowledged = time.monotonic()
        self._chunks += 1
        self._late += late
        self._commanded = points[-1].copy()
        self._wait(end)
        return Outcome(False, False, self._telemetry.tick, late, acknowledged)

    def stop(self) -> None:
        """Stop the firmware at once, whatever another thread does with the robot."""
        self._link.stop()

    def sub_instruction(self) -> str | None:
        """None: nobody looks on."""
        return None

    def counters(self) -> Mapping[str, int]:
        """The firmware's counts as of the last exchange with it; its ticks since the robot was opened."""
        counters = self._telemetry.counters
        rejected = ("bad_framing", "bad_crc", "bad_version", "bad_message", "old_session")
        return {
            "ticks": (self._telemetry.tick - self._first_tick) % 2**32,
            "chunks": counters["chunks_accepted"],
            "rejected_frames": sum(counters[name] for name in rejected),
            "rejected_chunks": counters["chunks_rejected"],
            "limited_ticks": counters["limited_ticks"],
            "lost_ticks": counters["lost_ticks"],
            "clipped_setpoints": self._planner.clipped,
        }

    def close(self) -> None:
        """Disarm, give port and cameras back."""
        self._resources.close()  # closing the link disarms

    def _send(self, points: Array) -> int:
        """Send setpoints (steps, axes), in as many chunks as the firmware needs; returns the tick at which they end."""
        info = self._link.info
        rows = min(info.max_points // len(info.axes), len(points))
        wire = rows * len(info.axes) * 4 * 10 / self.description.port.baudrate
        seen = self._link.statistics
        patience = LOSSY_LEAD if seen.resent else 0.0
        lead = round((LEAD + wire + patience + min(seen.round_trip_p99, 0.1)) * info.tick_hz) + 1
        start = self._link.clock.now() + lead
        for first in range(0, len(points), rows):
            if first:
                self._wait_for_credit()
            part = points[first : first + rows]
            self._link.send_chunk(start, self._step_ticks, part)
            start += len(part) * self._step_ticks
        return start % 2**32

    def _wait_for_credit(self) -> None:
        while self._hear().credit == 0:
            time.sleep(LOOK)

    def _wait(self, end: int) -> None:
        """Wait until tick `end`; raises LinkError as soon as the firmware says that it has stopped."""
        hz = self._link.info.tick_hz
        while True:
            self._telemetry = self._hear()
            left = (end - self._telemetry.tick + 2**31) % 2**32 - 2**31
            if left <= 0:
                return
            time.sleep(min(left / hz, LOOK))

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

    def _shown(self, points: Array) -> Outcome:
        seconds = self._step_ticks / self._link.info.tick_hz
        for row in points:
            axes = zip(self.description.axes, row, strict=True)
            self._show("would send " + "  ".join(f"{a.name} {value:+.6f} {a.unit}".rstrip() for a, value in axes))
        self._commanded = points[-1].copy()
        self._chunks += 1
        began = time.monotonic()
        time.sleep(seconds * len(points))  # as long as the motion would take, so that cameras and clock go on
        return Outcome(False, False, self._telemetry.tick, False, began)
