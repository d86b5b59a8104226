"""What a link tells of itself: the firmware it found, its events and its statistics."""

from __future__ import annotations

from dataclasses import dataclass

from hyt.firmware_bridge import constants as c
from hyt.firmware_bridge.messages import AxisInfo, Telemetry


@dataclass(frozen=True)
class LinkInfo:
    """What the firmware said of itself at connect; timeouts in ticks, axes in the order of the points.

    `port` is what it runs on.
    """

    session: int
    schema: int
    tick_hz: int
    axes: tuple[AxisInfo, ...]
    slots: int
    max_points: int
    link_timeout_ticks: int
    underrun_timeout_ticks: int
    stall_limit_ticks: int
    stop_action: c.StopAction
    lockstep: bool
    port: str


@dataclass(frozen=True)
class Connected:
    """A session is open, for the first time or again. Nothing moves until it is armed."""

    info: LinkInfo


@dataclass(frozen=True)
class Disconnected:
    """The session has ended and cannot come back; `retrying` says whether the link tries to open another."""

    reason: str
    retrying: bool


@dataclass(frozen=True)
class StateChanged:
    """The firmware's state or trip is another than in the telemetry before."""

    telemetry: Telemetry


@dataclass(frozen=True)
class Heard:
    """Telemetry arrived."""

    telemetry: Telemetry


Event = Connected | Disconnected | StateChanged | Heard


@dataclass(frozen=True)
class LinkStatistics:
    """What this end of the link has seen since it opened, over all its sessions.

    sent, resent, received, lost: frames; lost by the gaps in the firmware's numbering
    bad_framing, bad_crc, bad_message, other_session: frames that were dropped, by reason
    rejected: chunks that the firmware refused, by its word for why
    round_trip_*: of the last 1000 answers, in seconds; NaN before the first
    sessions: how often a session was opened
    credit: free chunk slots as last heard of; 0 before
    offset: host time (`time.monotonic`) of the firmware's tick 0, in seconds, by the present fit; NaN before one
    drift: how much faster than its nominal rate the firmware's clock runs by the host's, as a fraction; 0 in lockstep
    """

    sent: int
    resent: int
    received: int
    lost: int
    bad_framing: int
    bad_crc: int
    bad_message: int
    other_session: int
    rejected: dict[str, int]
    round_trip_median: float
    round_trip_p99: float
    round_trip_max: float
    sessions: int
    credit: int
    offset: float
    drift: float
