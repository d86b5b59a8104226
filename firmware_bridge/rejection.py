"""Turns the firmware's answer to a chunk or an arming into a one-line error with a remedy."""

from __future__ import annotations

from hyt.errors import ChunkRejected, LinkError
from hyt.firmware_bridge.constants import Result, Trip
from hyt.firmware_bridge.messages import Array, AxisInfo, CommandResult

_REMEDIES = {
    Result.NOT_ARMED: "arm the link first",
    Result.LATCHED: "find the cause, then open a new link and arm it",
    Result.NOT_AT_REST: "wait until the arm has come to rest",
    Result.EMERGENCY_STOP: "release the emergency stop",
    Result.LATE: "start the chunk later, or send it earlier",
    Result.TOO_EARLY: "send the chunk nearer to its start",
    Result.OVERLAP: "start the chunk where the last one ends",
    Result.QUEUE_FULL: "wait for credit",
    Result.BAD_SHAPE: "send (steps, axes) points within the firmware's limits",
    Result.POSITION_LIMIT: "clip the points to the axis limits in link.info.axes",
    Result.FLUSHED: "an earlier chunk was rejected: plan anew from the telemetry",
    Result.OLD_SESSION: "open a new link and arm it: another host took over, or the firmware was reset",
    Result.STALE: "send it again",
    Result.UNKNOWN_COMMAND: "use the firmware of this version of hyt",
}


def _trip_name(detail: int) -> str:
    return Trip(detail).name if detail in set(Trip) else f"trip {detail}"


def chunk_rejected(answer: CommandResult, start_tick: int, points: Array, axes: tuple[AxisInfo, ...]) -> ChunkRejected:
    """The error for a rejected chunk with points (steps, axes) in physical units."""
    expected = received = ""
    result = answer.result
    if result is Result.LATE:
        expected, received = f"a start at tick {answer.tick} or later", f"{start_tick}, {answer.detail} ticks late"
    elif result is Result.TOO_EARLY:
        received = f"a start {answer.detail} ticks ahead"
    elif result is Result.OVERLAP:
        received = f"a start {answer.detail} ticks before the last chunk ends"
    elif result is Result.LATCHED:
        received = f"the firmware tripped: {_trip_name(answer.detail)}"
    elif result is Result.POSITION_LIMIT and 0 <= answer.detail < points.size:
        step, index = divmod(answer.detail, len(axes))
        axis = axes[index]
        expected = f"axis {axis.name} within {axis.low:g} to {axis.high:g} {axis.unit}"
        received = f"{points[step, index]:.6f} in step {step}"
    return ChunkRejected(result.name, expected=expected, received=received, remedy=_REMEDIES[result])


def refused(what: str, answer: CommandResult) -> LinkError:
    """The error for a refused command that is no chunk."""
    received = answer.result.name
    if answer.result is Result.LATCHED:
        received += f", the firmware tripped in this session: {_trip_name(answer.detail)}"
    return LinkError(f"{what} refused", received=received, remedy=_REMEDIES[answer.result])
