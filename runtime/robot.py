"""What the control loop asks of a robot, real or simulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hyt.runtime.actions import ActionChunk
from hyt.runtime.observation import Observation


@dataclass(frozen=True)
class Outcome:
    """What became of a chunk.

    done:         the episode is over: the task is solved or the robot's own step limit is reached
    success:      the task is solved; a robot that cannot tell says False
    tick:         the firmware's tick when the chunk had been executed
    late:         the chunk reached the firmware after the tick at which it was to start
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

    def reset(self, seed: int) -> None:
        """Go to the start of the episode of this seed and arm the firmware."""

    def observe(self) -> Observation:
        """Images and state, now."""

    def execute(self, chunk: ActionChunk) -> Outcome:
        """Send the chunk, wait until it has been executed; raises ChunkRejected when the firmware refuses it."""

    def stop(self) -> None:
        """Stop the firmware at once and for good: only a robot opened anew moves again. Any thread may call it.

        Returns when the firmware has confirmed it. The thread that drives the robot then gets a LinkError from `reset`,
        `observe` or `execute`.
        """

    def sub_instruction(self) -> str | None:
        """What an onlooker would say to do next; None when nobody looks on."""

    def counters(self) -> Mapping[str, int]:
        """Counts since the robot was opened: ticks, chunks, rejected_frames and more of the robot's own."""

    def close(self) -> None:
        """Stop, disarm and give the port back."""
