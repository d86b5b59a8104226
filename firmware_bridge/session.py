"""One session without input or output: bytes and times go in, answers and events come out.

It shakes hands (HELLO, DESCRIBE of each axis, PING), sends heartbeats, keeps the clock, and notices what ends it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hyt.errors import LinkError
from hyt.firmware_bridge import constants as c
from hyt.firmware_bridge.clock import Clock
from hyt.firmware_bridge.info import Connected, Event, Heard, LinkInfo, StateChanged
from hyt.firmware_bridge.messages import AxisInfo, Telemetry, Welcome
from hyt.firmware_bridge.protocol import Arrival, HostProtocol, Key, Refusal

# Heartbeats per link timeout: several may be lost or late before the firmware trips.
HEARTBEATS_PER_TIMEOUT = 5
# A pseudo-terminal loses nothing, and a simulation may stand still for as long as it likes.
LOCKSTEP_RESEND = 5.0  # seconds
LOCKSTEP_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class Ended:
    """Why the session is over; `reset` when the firmware booted anew, and not when another host has it."""

    reason: str
    reset: bool


class Session:
    """One session with the firmware on `port`; `protocol` is new and said nothing yet.

    Answers are expected within `timeout` seconds. `info` is None until hands are shaken. Not for several threads.
    """

    def __init__(self, protocol: HostProtocol, *, port: str, timeout: float) -> None:
        self.protocol = protocol
        self.timeout = timeout
        self.info: LinkInfo | None = None
        self.clock: Clock | None = None
        self.latest: Telemetry | None = None
        self.ended: Ended | None = None
        self.refused = False  # the firmware is of another version or schema: no session of ours will do
        self.round_trips: deque[float] = deque(maxlen=1000)
        self.last_heard = 0.0
        self._port = port
        self._question = "HELLO"
        self._deadline = float("inf")
        self._welcome: Welcome | None = None
        self._axes: list[AxisInfo] = []
        self._last_tick: int | None = None
        self._heartbeat: float | None = None
        self._next_heartbeat = 0.0
        self._last_heartbeat: Key | None = None

    def begin(self, now: float) -> None:
        """Say HELLO."""
        self.last_heard = now
        self.protocol.hello(now)
        self._deadline = now + self.timeout

    def receive(self, data: bytes, now: float) -> tuple[list[Arrival], list[Event]]:
        """Take received bytes; raises LinkError when the firmware refuses the session."""
        arrivals = self.protocol.receive(data, now)
        events: list[Event] = []
        for arrival in arrivals:
            self.last_heard = now
            self._time(arrival, now)
            if isinstance(arrival.answer, Telemetry):
                events += self._telemetry(arrival.answer)
            if self.info is None:
                self._shake_hands(arrival, now)
                if self.info is not None:
                    events.append(Connected(self.info))
        return arrivals, events

    def due(self, now: float) -> float | None:
        """Send what is due; returns when to call it again, None for never.

        Raises LinkError when the handshake gets no answer.
        """
        if self.info is None and now >= self._deadline:
            raise no_answer(self._port, self._question, self.timeout)
        if self._heartbeat is not None and now >= self._next_heartbeat:
            # A heartbeat is not worth sending twice: the next one replaces it.
            if self._last_heartbeat is not None:
                self.protocol.forget(self._last_heartbeat)
            self._last_heartbeat = self.protocol.ping(now)
            self._next_heartbeat = now + self._heartbeat
        moments = [self.protocol.resend(now)]
        moments.append(self._deadline if self.info is None else None)
        moments.append(self._next_heartbeat if self._heartbeat is not None else None)
        return min((moment for moment in moments if moment is not None), default=None)

    def _shake_hands(self, arrival: Arrival, now: float) -> None:
        answer = arrival.answer
        if isinstance(answer, Refusal):
            self.refused = True
            raise LinkError(
                f"firmware on {self._port}",
                expected=f"protocol version {c.PROTOCOL_VERSION}, schema {self.protocol.schema:08x}",
                received=f"version {answer.version}, schema {answer.schema:08x}",
                remedy="flash the firmware of this version of hyt",
            )
        if isinstance(answer, Welcome) and self._welcome is None:
            self._welcome = answer
            self.clock = Clock(answer.tick_hz, lockstep=answer.lockstep)
            self._time(arrival, now)
            if answer.lockstep:
                self.protocol.resend_after = LOCKSTEP_RESEND
                self.timeout = max(self.timeout, LOCKSTEP_TIMEOUT)
        elif isinstance(answer, tuple) and answer[0] == len(self._axes):
            self._axes.append(answer[1])
        elif not isinstance(answer, Telemetry) or arrival.request is None:
            return
        assert self._welcome is not None  # nothing else was asked before
        self._deadline = now + self.timeout
        if len(self._axes) < self._welcome.axes:
            self._question = "DESCRIBE"
            self.protocol.describe(len(self._axes), now)
        elif not isinstance(answer, Telemetry):
            self._question = "PING"
            self.protocol.ping(now)
        else:
            self._open(self._welcome, now)

    def _open(self, welcome: Welcome, now: float) -> None:
        self.info = LinkInfo(
            session=self.protocol.session,
            schema=self.protocol.schema,
            tick_hz=welcome.tick_hz,
            axes=tuple(self._axes),
            slots=welcome.slots,
            max_points=welcome.max_points,
            link_timeout_ticks=welcome.link_timeout_ticks,
            underrun_timeout_ticks=welcome.underrun_timeout_ticks,
            stall_limit_ticks=welcome.stall_limit_ticks,
            stop_action=welcome.stop_action,
            lockstep=welcome.lockstep,
            port=welcome.port,
        )
        if not welcome.lockstep:
            self._heartbeat = welcome.link_timeout_ticks / welcome.tick_hz / HEARTBEATS_PER_TIMEOUT
            self._next_heartbeat = now

    def _telemetry(self, telemetry: Telemetry) -> list[Event]:
        before, self.latest = self.latest, telemetry
        events: list[Event] = [Heard(telemetry)]
        if before is None or (before.state, before.trip) != (telemetry.state, telemetry.trip):
            events.append(StateChanged(telemetry))
        return events

    def _time(self, arrival: Arrival, now: float) -> None:
        request = arrival.request
        # An answer to something sent twice may belong to either: it times nothing.
        if request is not None and request.first_sent is not None and request.first_sent == request.last_sent:
            if self.clock is not None:
                self.clock.add(request.first_sent, now, arrival.tick)
            self.round_trips.append(now - request.first_sent)
        if self.protocol.session_lost and self.ended is None:
            # A clock that went back is one that was started again.
            behind = self._last_tick is not None and (arrival.tick - self._last_tick) % 2**32 >= 2**31
            reason = "the firmware was reset" if behind else "another host took over or the firmware was reset"
            self.ended = Ended(reason, reset=behind)
        self._last_tick = arrival.tick


def no_answer(port: str, question: str, timeout: float) -> LinkError:
    """The error for a firmware that says nothing."""
    return LinkError(
        f"firmware on {port}",
        expected=f"an answer to {question} within {timeout:.2g} s",
        received="none",
        remedy="check cable, power and baud rate, and that a HyT firmware listens there",
    )
