"""What the control loop asks of a robot, real or simulated.

A robot's time is the tick of its firmware, counted on from where it was when the robot was opened, without wrapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hyt.runtime.actions import ActionChunk
from hyt.runtime.observation import Observation


@dataclass(frozen=True)
class Sent:
    """A chunk that the firmware has.

    start_tick:   its motion begins from the setpoint of this tick
    end_tick:     its last step that was sent ends here
    late:         it starts later than it was to
    acknowledged: `time.monotonic()` in seconds when the firmware's acknowledgement was read
    needed:       seconds before its start at which a chunk has to be handed over, by what is known now
    """

    start_tick: int
    end_tick: int
    late: bool
    acknowledged: float
    needed: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a chunk.

    done:         the episode is over: the task is solved or the robot's own step limit is reached
    success:      the task is solved; a robot that cannot tell says False
    tick:         the firmware's tick when the chunk had been executed, or sent where the loop does not wait for that
    late:         the chunk started later than where the one before ended
    acknowledged: `time.monotonic()` in seconds when the firmware's acknowledgement was read
    """

    done: bool
    success: bool
    tick: int
    late: bool
    acknowledged: float


class Robot(Protocol):
    """A robot behind a firmware; it moves only by the setpoints that the firmware puts out.

    Every method raises LinkError when the port or the firmware fails; after that the firmware has stopped by itself.
    """

    @property
    def name(self) -> str:
        """What it is called on the command line."""

    @property
    def instruction(self) -> str | None:
        """The instruction of the task it stands before; None when it knows none."""

    @property
    def stepped(self) -> bool:
        """Whether its time stands still but in `wait_until`; else it runs by the clock."""

    @property
    def tick_hz(self) -> float:
        """Ticks a second."""

    @property
    def step_ticks(self) -> int:
        """Ticks of one step of a chunk."""

    @property
    def done(self) -> bool:
        """Whether the episode is over, as far as it has been observed."""

    @property
    def success(self) -> bool:
        """Whether the task is solved; False for a robot that cannot tell."""

    @property
    def judges(self) -> bool:
        """Whether it can tell that a task is solved."""

    def reset(self, seed: int) -> None:
        """Go to the start of the episode of this seed and arm the firmware."""

    def observe(self) -> Observation:
        """Images and state, now."""

    def tick(self) -> int:
        """The tick now."""

    def time_of(self, tick: float) -> float:
        """`time.monotonic()` in seconds at this tick; of no meaning where time stands still."""

    def send(self, chunk: ActionChunk, *, start: int | None = None, steps: int | None = None, blend: int = 0) -> Sent:
        """Send the first `steps` steps of a chunk (None: all) to start at tick `start` (None: as soon as possible).

        A start that cannot be reached any more becomes the next possible one. Over the first `blend` steps the chunk
        takes over from what the one before had planned for these ticks and was not sent. Raises ChunkRejected when the
        firmware refuses the chunk.
        """

    def wait_until(self, tick: float) -> None:
        """Return at this tick, or when the episode is over; raises LinkError as soon as the firmware has stopped."""

    def rest(self) -> None:
        """End any motion as the firmware is configured to, and disarm it; `reset` arms it again."""

    def stop(self) -> None:
        """Stop the firmware at once and for good: only a robot opened anew moves again. Any thread may call it.

        Returns when the firmware has confirmed it. The thread that drives the robot then gets a LinkError from
        `reset`, `observe`, `send` or `wait_until`.
        """

    def sub_instruction(self) -> str | None:
        """What an onlooker would say to do next; None when nobody looks on."""

    def counters(self) -> Mapping[str, int]:
        """Counts since the robot was opened: ticks, chunks, rejected_frames and more of the robot's own."""

    def close(self) -> None:
        """Stop, disarm and give the port back."""


def execute(robot: Robot, chunk: ActionChunk) -> Outcome:
    """Send a whole chunk to start as soon as possible, and wait until it has been executed."""
    sent = robot.send(chunk)
    robot.wait_until(sent.end_tick)
    return Outcome(robot.done, robot.success, robot.tick(), sent.late, sent.acknowledged)
