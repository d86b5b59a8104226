"""The host's half of the protocol without input or output: requests go in, bytes come out, answers are matched.

Time is a number of seconds that the caller hands in. Commands are sent in order, at most WINDOW of them unanswered, and
sent again until they are answered; queries are sent again under the same echo. What comes back is matched by number,
never by order of arrival.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field

from hyt.firmware_bridge import constants as c
from hyt.firmware_bridge.codec import Frame, FrameDecoder, encode_frame
from hyt.firmware_bridge.messages import (
    AxisInfo,
    CommandResult,
    Telemetry,
    Welcome,
    parse_axis,
    parse_result,
    parse_telemetry,
    parse_welcome,
)

# How many times the first wait a request waits at most before it is sent again.
MOST_PATIENCE = 4


@dataclass(frozen=True)
class Refusal:
    """The firmware speaks another version or schema; both sides' are named."""

    version: int
    schema: int


Answer = Welcome | Refusal | tuple[int, AxisInfo] | CommandResult | Telemetry
# (HELLO, 0), (DESCRIBE, axis), (PING or STOP, echo), (command, sequence)
Key = tuple[c.MessageType, int]


@dataclass
class Request:
    """Something that was sent, or waits for the window, and is not answered yet."""

    key: Key
    payload: bytes
    sequence: int  # of the last command when it was made: a command's own number
    first_sent: float | None = None
    last_sent: float = 0.0
    sendings: int = 0
    size: int = 0  # bytes on the wire
    resend_at: float = 0.0


@dataclass(frozen=True)
class Arrival:
    """An answer; `request` is what it answers, or None when nothing of ours did (or no longer) ask for it."""

    answer: Answer
    request: Request | None
    tick: int


@dataclass
class Counters:
    """What the host's end has seen."""

    sent: int = 0
    resent: int = 0
    received: int = 0
    lost: int = 0  # by the gaps in the firmware's numbering
    bad_framing: int = 0
    bad_crc: int = 0
    bad_message: int = 0
    other_session: int = 0


@dataclass
class HostProtocol:
    """One session. `session` is 1..2^32-1 and new at every connect; `byte_time` is the seconds a byte takes."""

    session: int
    schema: int = c.SCHEMA_HASH
    resend_after: float = 0.1
    byte_time: float = 0.0
    counters: Counters = field(default_factory=Counters)
    session_lost: bool = False  # the firmware says that it is in another session, or has booted since

    def __post_init__(self) -> None:
        self.decoder = FrameDecoder(self.schema)
        self._outgoing: deque[bytes] = deque()
        self._queries: dict[Key, Request] = {}
        self._commands: dict[int, Request] = {}  # by sequence, oldest first
        self._sequence = 0
        self._echo = 0
        self._heard_sequence: int | None = None
        self._heard_tick = 0

    def hello(self, now: float) -> Key:
        """Asks for the session; answered by Welcome or Refusal."""
        return self._query((c.MessageType.HELLO, 0), c.HELLO.pack(self.schema), now)

    def describe(self, axis: int, now: float) -> Key:
        """Asks for an axis; answered by (axis, AxisInfo)."""
        return self._query((c.MessageType.DESCRIBE, axis), c.DESCRIBE.pack(axis), now)

    def subscribe(self, period_ticks: int, now: float) -> Key:
        """Asks for telemetry every `period_ticks`, 0 for none; answered by Telemetry."""
        echo = self._next_echo()
        return self._query((c.MessageType.SUBSCRIBE, echo), c.SUBSCRIBE.pack(echo, period_ticks), now)

    def ping(self, now: float) -> Key:
        """Heartbeat; answered by Telemetry."""
        echo = self._next_echo()
        return self._query((c.MessageType.PING, echo), c.PING.pack(echo), now)

    def stop(self, now: float) -> Key:
        """STOP, ahead of everything that waits to be sent; answered by Telemetry."""
        echo = self._next_echo()
        return self._query((c.MessageType.STOP, echo), c.STOP.pack(echo), now, first=True)

    def command(self, message: c.MessageType, payload: bytes, now: float) -> Key:
        """A command, behind those before it; answered by CommandResult."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        key = (message, self._sequence)
        self._commands[self._sequence] = Request(key, payload, self._sequence)
        self._fill_window(now)
        return key

    def forget(self, key: Key) -> None:
        """Gives up on a request. Giving up on a command gives up on all: those behind it could not be executed."""
        if key[0] >= c.FIRST_COMMAND:
            self._commands.clear()
        self._queries.pop(key, None)

    def take_outgoing(self) -> bytes:
        """The bytes to write now, in order."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def resend(self, now: float) -> float | None:
        """Sends again what waits too long for its answer; returns when to call it again, None for never."""
        # Of the commands the oldest alone: the firmware keeps none that is ahead of a lost one, but none may be lost.
        commands = [r for r in self._commands.values() if r.first_sent is not None][:1]
        waiting = [*self._queries.values(), *commands]
        for request in waiting:
            if now >= request.resend_at:
                self._transmit(request, now)
        return min(request.resend_at for request in waiting) if waiting else None

    def line_time(self) -> float:
        """Seconds that the wire needs for all that is sent and not answered, both ways taken as alike."""
        return 2 * self.byte_time * sum(request.size for request in self._waiting())

    def _waiting(self) -> list[Request]:
        return [*self._queries.values(), *(r for r in self._commands.values() if r.first_sent is not None)]

    def receive(self, data: bytes, now: float) -> list[Arrival]:
        """Takes received bytes; returns the answers in them. Never raises."""
        arrivals = []
        frames = self.decoder.feed(data)
        self.counters.bad_framing, self.counters.bad_crc = self.decoder.bad_framing, self.decoder.bad_crc
        for frame in frames:
            if frame.session != self.session:
                self.counters.other_session += 1
                continue
            self._note(frame)
            try:
                arrival = self._arrival(frame, now)
                if arrival is not None:
                    arrivals.append(arrival)
            except (ValueError, struct.error):
                self.counters.bad_message += 1
        self._fill_window(now)
        return arrivals

    def _note(self, frame: Frame) -> None:
        self.counters.received += 1
        if self._heard_sequence is not None:
            gap = (frame.sequence - self._heard_sequence - 1) & 0xFFFF
            self.counters.lost += gap if gap < 0x8000 else 0
        self._heard_sequence = frame.sequence
        self._heard_tick = frame.tick

    def _arrival(self, frame: Frame, now: float) -> Arrival | None:
        kind = c.MessageType(frame.type)
        answer: Answer
        if kind is c.MessageType.REFUSE:
            answer = Refusal(frame.version, c.REFUSE.unpack(frame.payload)[0])
            request = self._queries.pop((c.MessageType.HELLO, 0), None)
        elif frame.version != c.PROTOCOL_VERSION:
            raise ValueError("another protocol version")
        elif kind is c.MessageType.WELCOME:
            answer = parse_welcome(frame)
            request = self._queries.pop((c.MessageType.HELLO, 0), None)
        elif kind is c.MessageType.AXIS:
            answer = parse_axis(frame)
            request = self._queries.pop((c.MessageType.DESCRIBE, answer[0]), None)
        elif kind is c.MessageType.TELEMETRY:
            answer = parse_telemetry(frame)
            asked = (c.MessageType.PING, c.MessageType.STOP, c.MessageType.SUBSCRIBE)
            request = next((r for kind in asked if (r := self._queries.pop((kind, answer.echo), None))), None)
        elif kind is c.MessageType.RESULT:
            answer = parse_result(frame)
            self.session_lost = self.session_lost or answer.result is c.Result.OLD_SESSION
            if answer.result is c.Result.STALE:
                # Not executed: the firmware had to hear that we hear it. Its tick in this answer proves that.
                if (waiting := self._commands.get(answer.sequence)) is not None:
                    self._transmit(waiting, now)
                return None
            request = self._commands.pop(answer.sequence, None) if answer.type >= c.FIRST_COMMAND else None
        else:
            raise ValueError("a message of the host")
        return Arrival(answer, request, frame.tick)

    def _next_echo(self) -> int:
        # 0 marks telemetry that nobody asked for.
        self._echo = self._echo % 0xFFFFFFFF + 1
        return self._echo

    def _query(self, key: Key, payload: bytes, now: float, *, first: bool = False) -> Key:
        request = self._queries[key] = Request(key, payload, self._sequence)
        self._transmit(request, now, first=first)
        return key

    def _fill_window(self, now: float) -> None:
        if not self._commands:
            return
        oldest = next(iter(self._commands))
        for sequence, request in self._commands.items():
            if (sequence - oldest) & 0xFFFF >= c.WINDOW:
                break
            if request.first_sent is None:
                self._transmit(request, now)

    def _transmit(self, request: Request, now: float, *, first: bool = False) -> None:
        self.counters.sent += 1
        if request.first_sent is None:
            request.first_sent = now
        else:
            self.counters.resent += 1
        request.last_sent = now
        # Encoded anew each time: the tick says when the firmware was last heard.
        heard = self._heard_sequence or 0
        frame = Frame(request.key[0], self.session, request.sequence, heard, self._heard_tick, request.payload)
        data = encode_frame(frame, self.schema)
        request.size = len(data)
        # A slow wire is no lost frame: what stands in front of this one is sent before it. The third time and later it
        # waits longer, or a wire slower than we know would be filled with what is on its way already.
        patience = self.resend_after * min(max(request.sendings, 1), MOST_PATIENCE)
        request.sendings += 1
        request.resend_at = now + patience + self.line_time()
        if first:
            self._outgoing.appendleft(data)
        else:
            self._outgoing.append(data)
