"""The payloads of the messages as typed objects in physical units; see PROTOCOL.md for the bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hyt.firmware_bridge import constants as c
from hyt.firmware_bridge.codec import Frame

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AxisInfo:
    """One axis as the firmware describes it; limits per second in `unit`, 0: no limit."""

    name: str
    unit: str
    low: float
    high: float
    max_velocity: float
    max_acceleration: float
    interpolation: c.Interpolation


@dataclass(frozen=True)
class Welcome:
    """What the firmware says of itself when a session opens; timeouts in ticks."""

    tick_hz: int
    link_timeout_ticks: int
    underrun_timeout_ticks: int
    stall_limit_ticks: int
    max_points: int
    axes: int
    slots: int
    window: int
    stop_action: c.StopAction
    lockstep: bool
    port: str


@dataclass(frozen=True)
class CommandResult:
    """The firmware's answer to a command, and its tick when it gave it."""

    sequence: int
    type: int
    result: c.Result
    credit: int
    detail: int
    tick: int


@dataclass(frozen=True, eq=False)
class Telemetry:
    """The firmware's state at `tick`: setpoints float64 (axes,) in physical units, credit in free chunk slots.

    `positions` (axes,) are measured where `measured` says so, and the setpoints elsewhere.
    `trip` says why it stopped and `trip_tick` when; counters are those of PROTOCOL.md by name.
    """

    tick: int
    state: c.State
    trip: c.Trip
    trip_tick: int
    enabled: bool
    emergency_stop: bool
    running: bool
    credit: int
    setpoints: Array
    positions: Array
    measured: bool
    counters: dict[str, int]
    echo: int


def pack_chunk(start_tick: int, step_ticks: int, points: NDArray[np.int32], flags: int) -> bytes:
    """Payload of CHUNK; points int32 (steps, axes) in micro-units."""
    steps, axes = points.shape
    return c.CHUNK.pack(start_tick & 0xFFFFFFFF, step_ticks, steps, axes, flags) + points.astype("<i4").tobytes()


def parse_welcome(frame: Frame) -> Welcome:
    """WELCOME; raises ValueError or struct.error when the payload is not one."""
    tick_hz, link, underrun, stall, max_points, axes, slots, window, stop_action, flags, port = c.WELCOME.unpack(
        frame.payload
    )
    return Welcome(
        tick_hz=tick_hz,
        link_timeout_ticks=link,
        underrun_timeout_ticks=underrun,
        stall_limit_ticks=stall,
        max_points=max_points,
        axes=axes,
        slots=slots,
        window=window,
        stop_action=c.StopAction(stop_action),
        lockstep=bool(flags & c.WelcomeFlag.LOCKSTEP),
        port=port.rstrip(b"\0").decode("ascii", "replace"),
    )


def parse_axis(frame: Frame) -> tuple[int, AxisInfo]:
    """AXIS as (index, axis); raises ValueError or struct.error when the payload is not one."""
    index, interpolation, low, high, velocity, acceleration, name, unit = c.AXIS.unpack(frame.payload)
    return index, AxisInfo(
        name=name.rstrip(b"\0").decode("ascii", "replace"),
        unit=unit.rstrip(b"\0").decode("ascii", "replace"),
        low=low / c.MICRO,
        high=high / c.MICRO,
        max_velocity=velocity / c.MICRO,
        max_acceleration=acceleration / c.MICRO,
        interpolation=c.Interpolation(interpolation),
    )


def parse_result(frame: Frame) -> CommandResult:
    """RESULT; raises ValueError or struct.error when the payload is not one."""
    sequence, type_, result, credit, detail = c.RESULT.unpack(frame.payload)
    return CommandResult(sequence, type_, c.Result(result), credit, detail, frame.tick)


def parse_telemetry(frame: Frame) -> Telemetry:
    """TELEMETRY; raises ValueError or struct.error when the payload is not one."""
    tail = frame.payload[c.TELEMETRY.size :]
    if len(tail) % 8:
        raise struct.error("setpoints and positions are not as many numbers of 4 bytes")
    setpoints, positions = np.frombuffer(tail, "<i4").reshape(2, -1) / c.MICRO
    echo, trip_tick, state, trip, flags, credit, *counters = c.TELEMETRY.unpack(frame.payload[: c.TELEMETRY.size])
    return Telemetry(
        tick=frame.tick,
        state=c.State(state),
        trip=c.Trip(trip),
        trip_tick=trip_tick,
        enabled=bool(flags & c.TelemetryFlag.ENABLED),
        emergency_stop=bool(flags & c.TelemetryFlag.EMERGENCY_STOP),
        running=bool(flags & c.TelemetryFlag.RUNNING),
        credit=credit,
        setpoints=setpoints,
        positions=positions,
        measured=bool(flags & c.TelemetryFlag.MEASURED),
        counters=dict(zip(c.COUNTERS, counters, strict=True)),
        echo=echo,
    )
