"""Link: the host's end of the serial connection, for one session with one firmware."""

from __future__ import annotations

import secrets
import threading
from collections import Counter, deque
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hyt.errors import InputError, LinkError
from hyt.firmware_bridge import constants as c
from hyt.firmware_bridge.clock import Clock
from hyt.firmware_bridge.messages import Array, AxisInfo, CommandResult, Telemetry, Welcome, pack_chunk
from hyt.firmware_bridge.port import open_port
from hyt.firmware_bridge.protocol import Answer, Arrival, HostProtocol, Refusal
from hyt.firmware_bridge.rejection import chunk_rejected, refused
from hyt.firmware_bridge.worker import Send, Worker

# Heartbeats per link timeout: several may be lost or late before the firmware trips.
HEARTBEATS_PER_TIMEOUT = 5
LOCKSTEP_RESEND = 5.0  # seconds
LOCKSTEP_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class LinkInfo:
    """What the firmware said of itself at connect; timeouts in ticks, axes in the order of the points."""

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
class Accepted:
    """A chunk that the firmware has queued: its tick then, and the slots left."""

    tick: int
    credit: int


@dataclass(frozen=True)
class LinkStatistics:
    """What this end of the link has seen since it opened; round trips of the last 1000 answers, in seconds."""

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


class Link:
    """Opens `port` for itself alone and a new session on it; see PROTOCOL.md.

    In real time a thread sends heartbeats, so the firmware's link watchdog measures whether this process lives. In
    lockstep no time passes between a simulator's ticks and none are sent: every call here is heard before the next
    tick, and feeds the watchdog. Methods may be called from several threads.

    Raises LinkError (one line, exit code 6) when the port is missing, busy or forbidden, when nothing answers within
    `timeout` seconds, or when the firmware speaks another version or schema.
    """

    def __init__(self, port: str, *, baudrate: int = 115200, timeout: float = 2.0, schema: int = c.SCHEMA_HASH) -> None:
        self.port = port
        self._timeout = timeout
        self._lock = threading.Lock()  # guards what the worker thread writes
        self._latest: Telemetry | None = None
        self._armed = False
        self._round_trips: deque[float] = deque(maxlen=1000)
        self._rejected: Counter[str] = Counter()
        self._unanswered: str | None = None  # a command that was given up
        self._restart = False  # the next chunk says that we know of a rejection
        self._clock: Clock | None = None
        self._protocol = HostProtocol(session=secrets.randbelow(2**32 - 1) + 1, schema=schema)
        self._worker = Worker(open_port(port, baudrate), self._protocol, self._on_arrival)
        try:
            self.info = self._connect()
        except BaseException:
            self._worker.close()
            raise

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(stop=kind is not None)

    def close(self, *, stop: bool = False) -> None:
        """Disarms (or stops and latches, with `stop`) an armed firmware, then closes the port; may be called again."""
        try:
            if self._armed:
                self.stop() if stop else self.disarm()
        except LinkError:
            # The port may be what failed. The firmware then stops by its own link watchdog.
            self._armed = False
        finally:
            self._worker.close()

    @property
    def clock(self) -> Clock:
        """The firmware's tick as an estimate from the round trips so far."""
        if self._clock is None:
            raise LinkError(f"link to {self.port} has no clock before it is connected")
        return self._clock

    @property
    def latest(self) -> Telemetry | None:
        """The last telemetry that arrived, without asking; None before the first."""
        with self._lock:
            return self._latest

    @property
    def statistics(self) -> LinkStatistics:
        """Counters of this end; those of the firmware are in `telemetry().counters`."""
        counters, decoder = self._protocol.counters, self._protocol.decoder
        with self._lock:
            trips = sorted(self._round_trips) or [float("nan")]
            rejected = dict(self._rejected)
        return LinkStatistics(
            sent=counters.sent,
            resent=counters.resent,
            received=counters.received,
            lost=counters.lost,
            bad_framing=decoder.bad_framing,
            bad_crc=decoder.bad_crc,
            bad_message=counters.bad_message,
            other_session=counters.other_session,
            rejected=rejected,
            round_trip_median=trips[len(trips) // 2],
            round_trip_p99=trips[min(len(trips) - 1, len(trips) * 99 // 100)],
            round_trip_max=trips[-1],
        )

    def arm(self) -> None:
        """Enables motion; raises LinkError when tripped in this session, still moving or emergency-stopped."""
        self._command(c.MessageType.ARM, "arming")
        self._armed = True

    def disarm(self) -> None:
        """Ends motion with the configured stop action, without a trip; raises LinkError."""
        self._command(c.MessageType.DISARM, "disarming")
        self._armed = False

    def stop(self) -> Telemetry:
        """Stops at once and latches: only a new link may arm again. Passes everything that waits to be sent.

        Returns the telemetry that proves the stop was heard; raises LinkError when nothing answers.
        """
        answer = self._ask(lambda protocol, now: protocol.stop(now), "STOP")
        assert isinstance(answer, Telemetry)
        self._armed = False
        return answer

    def subscribe(self, period_ticks: int) -> None:
        """Asks for telemetry every `period_ticks` until the session ends, 0 for none; `latest` has the last of it."""
        self._ask(lambda protocol, now: protocol.subscribe(period_ticks, now), "SUBSCRIBE")

    def telemetry(self) -> Telemetry:
        """The firmware's state now, by a round trip; raises LinkError."""
        answer = self._ask(lambda protocol, now: protocol.ping(now), "PING")
        assert isinstance(answer, Telemetry)
        return answer

    def send_chunk(self, start_tick: int, step_ticks: int, points: ArrayLike) -> Accepted:
        """Queues setpoints (steps, axes) in physical units; returns once the firmware has them.

        Motion begins from the setpoint of tick `start_tick` (modulo 2^32); point i is reached at tick
        start_tick + (i + 1) * step_ticks.
        Raises InputError for points that are not finite, not (steps, axes) or too many, ChunkRejected when the firmware
        refuses the chunk (it then has flushed its queue and comes to rest), and LinkError when it does not answer.
        """
        physical = np.asarray(points, dtype=np.float64)
        micro = self._micro(physical, step_ticks)
        with self._lock:
            flags = c.ChunkFlag.RESTART if self._restart else 0
        payload = pack_chunk(start_tick, step_ticks, micro, flags)
        answer = self._ask_command(c.MessageType.CHUNK, payload)
        with self._lock:
            self._restart = answer.result is not c.Result.OK
            if answer.result is not c.Result.OK:
                self._rejected[answer.result.name] += 1
        if answer.result is not c.Result.OK:
            raise chunk_rejected(answer, start_tick & 0xFFFFFFFF, physical, self.info.axes)
        return Accepted(answer.tick, answer.credit)

    def _micro(self, points: Array, step_ticks: int) -> NDArray[np.int32]:
        axes, most = len(self.info.axes), self.info.max_points
        if points.ndim != 2 or points.shape[1] != axes or not 1 <= points.size <= most:
            raise InputError(
                "chunk", expected=f"points (steps, {axes}), at most {most} numbers", received=f"shape {points.shape}"
            )
        if not 1 <= step_ticks <= 0xFFFF:
            raise InputError("chunk", expected="step_ticks from 1 to 65535", received=str(step_ticks))
        micro = np.rint(points * c.MICRO)
        # Written so that NaN fails it.
        if not (np.abs(micro) <= 2**31 - 1).all():
            raise InputError("chunk", expected="finite points below 2147 units", received="NaN or a larger one")
        integers: NDArray[np.int32] = micro.astype(np.int32)
        return integers

    def _connect(self) -> LinkInfo:
        answer = self._ask(lambda protocol, now: protocol.hello(now), "HELLO")
        if isinstance(answer, Refusal):
            raise LinkError(
                f"firmware on {self.port}",
                expected=f"protocol version {c.PROTOCOL_VERSION}, schema {self._protocol.schema:08x}",
                received=f"version {answer.version}, schema {answer.schema:08x}",
                remedy="flash the firmware of this version of hyt",
            )
        assert isinstance(answer, Welcome)
        self._clock = Clock(answer.tick_hz, lockstep=answer.lockstep)
        if answer.lockstep:
            # A pseudo-terminal loses nothing, and a simulation may stand still for as long as it likes.
            self._protocol.resend_after = LOCKSTEP_RESEND
            self._timeout = max(self._timeout, LOCKSTEP_TIMEOUT)
        axes = [self._describe(index) for index in range(answer.axes)]
        self.telemetry()
        if not answer.lockstep:
            self._worker.start_heartbeat(answer.link_timeout_ticks / answer.tick_hz / HEARTBEATS_PER_TIMEOUT)
        return LinkInfo(
            session=self._protocol.session,
            schema=self._protocol.schema,
            tick_hz=answer.tick_hz,
            axes=tuple(axes),
            slots=answer.slots,
            max_points=answer.max_points,
            link_timeout_ticks=answer.link_timeout_ticks,
            underrun_timeout_ticks=answer.underrun_timeout_ticks,
            stall_limit_ticks=answer.stall_limit_ticks,
            stop_action=answer.stop_action,
            lockstep=answer.lockstep,
            port=answer.port,
        )

    def _describe(self, index: int) -> AxisInfo:
        answer = self._ask(lambda protocol, now: protocol.describe(index, now), "DESCRIBE")
        assert isinstance(answer, tuple)
        return answer[1]

    def _command(self, message: c.MessageType, what: str) -> None:
        answer = self._ask_command(message, b"")
        if answer.result is not c.Result.OK:
            raise refused(what, answer)

    def _ask_command(self, message: c.MessageType, payload: bytes) -> CommandResult:
        # Whether it was executed is not known, so no command may follow it; STOP and PING still may.
        if self._unanswered is not None:
            raise LinkError(
                f"link to {self.port}",
                received=f"no answer to {self._unanswered}, so no more commands",
                remedy="open a new link and arm again",
            )
        try:
            answer = self._ask(lambda protocol, now: protocol.command(message, payload, now), message.name)
        except LinkError:
            self._unanswered = message.name
            raise
        assert isinstance(answer, CommandResult)
        return answer

    def _ask(self, send: Send, what: str) -> Answer:
        key, future = self._worker.ask(send)
        try:
            return future.result(self._timeout)
        except FutureTimeoutError:
            self._worker.forget(key)
            raise LinkError(
                f"firmware on {self.port}",
                expected=f"an answer to {what} within {self._timeout:g} s",
                received="none",
                remedy="check cable, power and baud rate, and that a HyT firmware listens there",
            ) from None

    def _on_arrival(self, arrival: Arrival, now: float) -> None:
        request = arrival.request
        with self._lock:
            if isinstance(arrival.answer, Telemetry):
                self._latest = arrival.answer
            if request is not None and request.first_sent is not None and request.first_sent == request.last_sent:
                # An answer to something sent twice may belong to either: it times nothing.
                self._round_trips.append(now - request.first_sent)
                if self._clock is not None:
                    self._clock.add(request.first_sent, now, arrival.tick)
