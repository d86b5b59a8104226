"""Link: the host's end of the serial connection with one firmware."""

from __future__ import annotations

import math
import numbers
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import asdict, dataclass
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hyt.errors import InputError, LinkError
from hyt.firmware_bridge import constants as c
from hyt.firmware_bridge.clock import Clock
from hyt.firmware_bridge.device import find_device
from hyt.firmware_bridge.info import Connected, Disconnected, Event, LinkInfo, LinkStatistics, StateChanged
from hyt.firmware_bridge.messages import Array, CommandResult, Telemetry, pack_chunk
from hyt.firmware_bridge.protocol import Answer, Counters
from hyt.firmware_bridge.rejection import chunk_rejected, refused
from hyt.firmware_bridge.session import no_answer
from hyt.firmware_bridge.worker import Send, Worker


@dataclass(frozen=True)
class Accepted:
    """A chunk that the firmware has queued: its tick then, and the slots left."""

    tick: int
    credit: int


class Link:
    """Opens `port` for itself alone and a new session on it; see PROTOCOL.md, and device.py for the names of ports.

    In real time a thread sends heartbeats, so the firmware's link watchdog measures whether this process lives. In
    lockstep no time passes between a simulator's ticks and none are sent: every call here is heard before the next
    tick, and feeds the watchdog. Methods may be called from several threads.

    With `reconnect` a lost port or a firmware that was reset is found again, under a new session; until then every call
    raises LinkError, and afterwards nothing moves before `arm` is called. A firmware that another host has taken is
    left to it. `on_event` is called with every Event in the link's own thread: it must be quick and must not call the
    link.

    Raises LinkError (one line, exit code 6) when the port is missing, busy or forbidden, when nothing answers within
    `timeout` seconds, or when the firmware speaks another version or schema; InputError for wrong arguments.
    """

    def __init__(
        self,
        port: str,
        *,
        baudrate: int = 115200,
        timeout: float = 2.0,
        schema: int = c.SCHEMA_HASH,
        reconnect: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.port = port
        _whole("baudrate", baudrate, 1, 10**8)
        _whole("schema", schema, 0, 2**32 - 1)
        _seconds("timeout", timeout)
        if on_event is not None and not callable(on_event):
            raise InputError("on_event", expected="a function of one Event", received=repr(on_event))
        self._listener = on_event
        self._lock = threading.Lock()  # guards what the worker thread writes
        self._armed = False
        self._sessions = 0
        self._rejected: Counter[str] = Counter()
        self._unanswered: str | None = None  # a command that was given up
        self._restart = False  # the next chunk says that we know of a rejection
        self._device = find_device(port)
        try:
            self._worker = Worker(
                self._device,
                baudrate=int(baudrate),
                schema=int(schema),
                timeout=float(timeout),
                reconnect=reconnect,
                on_event=self._on_event,
            )
        except BaseException:
            self._device.close()
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
            self._device.close()

    @property
    def info(self) -> LinkInfo:
        """What the firmware said of itself when the present session, or else the last, was opened."""
        with self._lock:
            return self._info

    @property
    def clock(self) -> Clock:
        """The firmware's tick as an estimate from the round trips of this session so far."""
        clock = self._worker.session.clock
        if clock is None:
            raise LinkError(f"link to {self.port} has no clock before it is connected")
        return clock

    @property
    def latest(self) -> Telemetry | None:
        """The last telemetry that arrived in this session, without asking; None before the first."""
        return self._worker.session.latest

    @property
    def statistics(self) -> LinkStatistics:
        """Counters of this end; those of the firmware are in `telemetry().counters`."""
        session = self._worker.session
        counters = Counters()
        for part in [*self._worker.past, session.protocol.counters]:
            for name, count in asdict(part).items():
                setattr(counters, name, getattr(counters, name) + count)
        trips = sorted(session.round_trips.copy()) or [float("nan")]
        with self._lock:
            rejected, sessions = dict(self._rejected), self._sessions
        clock = session.clock
        return LinkStatistics(
            **asdict(counters),
            rejected=rejected,
            round_trip_median=trips[len(trips) // 2],
            round_trip_p99=trips[min(len(trips) - 1, len(trips) * 99 // 100)],
            round_trip_max=trips[-1],
            sessions=sessions,
            credit=session.latest.credit if session.latest is not None else 0,
            offset=clock.offset if clock is not None else float("nan"),
            drift=clock.drift if clock is not None else 0.0,
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
        _whole("period_ticks", period_ticks, 0, c.MAX_LEAD_TICKS)
        self._ask(lambda protocol, now: protocol.subscribe(int(period_ticks), now), "SUBSCRIBE")

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
        _whole("start_tick", start_tick, -(2**32), 2**33)
        _whole("step_ticks", step_ticks, 1, 0xFFFF)
        try:
            physical = np.asarray(points, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("chunk", expected="points of numbers, (steps, axes)", received=repr(points)) from None
        micro = self._micro(physical)
        with self._lock:
            flags = c.ChunkFlag.RESTART if self._restart else 0
        payload = pack_chunk(int(start_tick), int(step_ticks), micro, flags)
        answer = self._ask_command(c.MessageType.CHUNK, payload)
        with self._lock:
            self._restart = answer.result is not c.Result.OK
            if answer.result is not c.Result.OK:
                self._rejected[answer.result.name] += 1
        if answer.result is not c.Result.OK:
            raise chunk_rejected(answer, int(start_tick) & 0xFFFFFFFF, physical, self.info.axes)
        return Accepted(answer.tick, answer.credit)

    def _micro(self, points: Array) -> NDArray[np.int32]:
        axes, most = len(self.info.axes), self.info.max_points
        if points.ndim != 2 or points.shape[1] != axes or not 1 <= points.size <= most:
            raise InputError(
                "chunk", expected=f"points (steps, {axes}), at most {most} numbers", received=f"shape {points.shape}"
            )
        micro = np.rint(points * c.MICRO)
        # Written so that NaN fails it.
        if not (np.abs(micro) <= 2**31 - 1).all():
            raise InputError("chunk", expected="finite points below 2147 units", received="NaN or a larger one")
        integers: NDArray[np.int32] = micro.astype(np.int32)
        return integers

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
        key, future, seconds = self._worker.ask(send)
        try:
            return future.result(seconds)
        except FutureTimeoutError:
            self._worker.forget(key)
            raise no_answer(self.port, what, seconds) from None

    def _on_event(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Connected):
                self._info = event.info
                self._sessions += 1
                self._unanswered, self._restart = None, False
            elif isinstance(event, Disconnected) or (
                isinstance(event, StateChanged) and event.telemetry.state is c.State.STOPPED
            ):
                self._armed = False
        if self._listener is not None:
            self._listener(event)


def _whole(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, numbers.Integral) or not least <= int(value) <= most:
        raise InputError(name, expected=f"a whole number from {least} to {most}", received=repr(value))


def _seconds(name: str, value: object) -> None:
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError(name, expected="seconds above 0", received=repr(value))
