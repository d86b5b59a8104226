"""The one thread that owns the port: it opens it, writes what the session has to say, hands out what comes back.

When the port or the session is lost it may open another; it never arms.
"""

from __future__ import annotations

import errno
import os
import secrets
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from hyt.errors import HytError, LinkError
from hyt.firmware_bridge import priority
from hyt.firmware_bridge.constants import MessageType
from hyt.firmware_bridge.device import Device
from hyt.firmware_bridge.info import Disconnected, Event
from hyt.firmware_bridge.port import Port
from hyt.firmware_bridge.protocol import Answer, Counters, HostProtocol, Key
from hyt.firmware_bridge.session import Session

# What the driver may hold: STOP cannot pass it on a line whose driver takes nothing back.
DRIVER_SECONDS = 0.002
DRIVER_BYTES = 64
DRIVER_BYTES_FAST = 4096  # where bytes take no time that anyone would count
# Longer than the largest frame takes at 9600 baud; a port that takes no bytes for so long is gone.
WRITE_TIMEOUT = 3.0
RETRY_AFTER = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds; the last one again and again

Send = Callable[[HostProtocol, float], Key]


class _Lost(Exception):  # noqa: N818 - no error of ours: it never leaves the thread
    """The session is over; `again` says whether another may be tried."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


class Worker:
    """Runs sessions on `device` until `close`. `on_event` is called in the thread, must be quick and ask nothing.

    Raises LinkError when the first session cannot be opened within `timeout` seconds an answer. With `reconnect` later
    ones are opened for as long as it takes, unless another host has taken the firmware or the schema has changed.
    """

    def __init__(
        self,
        device: Device,
        *,
        baudrate: int,
        schema: int,
        timeout: float,
        reconnect: bool,
        on_event: Callable[[Event], None],
    ) -> None:
        self._device, self._baudrate, self._schema, self._timeout = device, baudrate, schema, timeout
        self._reconnect = reconnect
        self._on_event = on_event
        self._lock = threading.Lock()  # guards the session and all below
        self._waiting: dict[Key, Future[Answer]] = {}
        self._stop_pending = False
        self._closing = False
        self._finished = False
        self._down: str | None = None  # why nothing can be asked at present
        self._unsent = bytearray()
        self._write_since: float | None = None
        self.past: list[Counters] = []  # of the sessions before this one
        self.low_latency = False
        port = device.open(baudrate)
        self.session = self._new_session(port)
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._opener_priority = priority.of_this_thread()
        self._first: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=[port], name=f"hyt link {device.name}", daemon=True)
        self._thread.start()
        try:
            self._first.result()
        except BaseException:
            self.close()
            raise

    def ask(self, send: Send) -> tuple[Key, Future[Answer], float]:
        """Sends a request; the future gets its answer, within so many seconds. Raises LinkError when down."""
        with self._lock:
            if self._down is not None:
                raise self._error()
            key = send(self.session.protocol, time.monotonic())
            future: Future[Answer] = Future()
            self._waiting[key] = future
            self._stop_pending = self._stop_pending or key[0] is MessageType.STOP
            seconds = self.session.timeout + self.session.protocol.line_time()
            self._wake()
        return key, future, seconds

    def forget(self, key: Key) -> None:
        """Gives up on a request."""
        with self._lock:
            self.session.protocol.forget(key)
            self._waiting.pop(key, None)

    def close(self) -> None:
        """Ends the thread and closes the port; who still waits gets a LinkError. May be called again."""
        with self._lock:
            self._closing = True
            self._wake()
        self._thread.join()

    def _wake(self) -> None:
        # Under the lock: the ended thread has closed the pipe. A full pipe has woken the thread already.
        if not self._finished:
            with suppress(BlockingIOError):
                os.write(self._wake_write, b"\0")

    def _error(self) -> LinkError:
        remedy = "it reconnects by itself: arm again then" if self._retrying() else "open a new link and arm again"
        return LinkError(f"link to {self._device.name} is down", received=self._down or "", remedy=remedy)

    def _retrying(self) -> bool:
        return self._reconnect and not self._finished and not self._closing

    def _new_session(self, port: Port) -> Session:
        protocol = HostProtocol(secrets.randbelow(2**32 - 1) + 1, schema=self._schema, byte_time=port.byte_time)
        self.low_latency = port.low_latency
        return Session(protocol, port=self._device.name, timeout=self._timeout)

    def _run(self, port: Port) -> None:
        priority.raise_above(self._opener_priority)
        opened: Port | None = port
        attempt = 0
        while True:
            again, reason = True, ""
            try:
                if opened is None:
                    opened = self._device.open(self._baudrate)
                    with self._lock:
                        self.past.append(self.session.protocol.counters)
                        self.session = self._new_session(opened)
                self._serve(opened)
            except _Lost as lost:
                again, reason = lost.again, str(lost)
            except HytError as error:  # the port cannot be opened, or nobody answers, or another schema does
                again, reason = not self.session.refused, str(error)
                if not self._first.done():
                    self._first.set_exception(error)
                    again = False
            except Exception as error:  # whatever ended the thread is told to everyone who asks it
                again, reason = isinstance(error, OSError), str(error) or type(error).__name__
            if self.session.info is not None:
                attempt = 0
            if opened is not None:
                opened.close()
                opened = None
            retry = again and self._retrying()
            self._ended(reason, retry)
            if not retry:
                return
            if select.select([self._wake_read], [], [], RETRY_AFTER[min(attempt, len(RETRY_AFTER) - 1)])[0]:
                os.read(self._wake_read, 4096)  # one that was left there must not cut every wait short
            if self._closing:
                self._ended("it was closed", False)
                return
            attempt += 1

    def _ended(self, reason: str, retry: bool) -> None:
        """Tell those who wait, and the listener, that the session is over."""
        with self._lock:
            news = self._down is None
            self._down = reason
            self._finished = not retry
            waiting = list(self._waiting.values())
            self._waiting.clear()
            self._unsent.clear()
            if not retry:
                os.close(self._wake_read)
                os.close(self._wake_write)
            error = self._error()
        for future in waiting:
            future.set_exception(error)
        if not self._first.done():
            self._first.set_exception(error)
        if news or not retry:
            self._tell(Disconnected(reason, retry))

    def _tell(self, event: Event) -> None:
        with suppress(Exception):  # a listener's mistake must not cost the robot its heartbeats
            self._on_event(event)

    def _serve(self, port: Port) -> None:
        """One session on an open port; raises when it is over."""
        self._write_since = None
        with self._lock:
            self.session.begin(time.monotonic())
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        while True:
            if self._closing:
                raise _Lost("it was closed", again=False)
            if self.session.ended is not None:
                raise _Lost(self.session.ended.reason, again=self.session.ended.reset)
            due, blocked = self._write_due(port)
            poll.register(port.fileno(), select.POLLIN | (select.POLLOUT if blocked else 0))
            ready = dict(poll.poll(None if due is None else max(0, -(-due // 0.001))))
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
            if ready.get(port.fileno(), 0) & ~select.POLLOUT:
                self._read(port)

    def _read(self, port: Port) -> None:
        data = port.read()
        now = time.monotonic()
        with self._lock:
            arrivals, events = self.session.receive(data, now)
            if self.session.info is not None:
                self._down = None
            answered = [
                (self._waiting.pop(a.request.key), a.answer)
                for a in arrivals
                if a.request and a.request.key in self._waiting
            ]
        for event in events:
            self._tell(event)
        for future, answer in answered:
            future.set_result(answer)
        if self.session.info is not None and not self._first.done():
            self._first.set_result(None)

    def _write_due(self, port: Port) -> tuple[float | None, bool]:
        """Writes what is due; returns the seconds until something is due again and whether the driver is full."""
        now = time.monotonic()
        with self._lock:
            moment = self.session.due(now)
            if self._reconnect and self.session.info is not None and not self.session.info.lockstep:
                silence = self.session.last_heard + self.session.timeout
                if now >= silence:
                    raise _Lost("the firmware fell silent", again=True)
                moment = silence if moment is None else min(moment, silence)
            outgoing = self.session.protocol.take_outgoing()
            flush, self._stop_pending = self._stop_pending, False
        if flush:
            # What waits here and in the driver must not be in STOP's way; commands lost by this are sent again.
            self._unsent.clear()
            port.discard_output()
        self._unsent += outgoing
        pause, blocked = self._write(port, now)
        due = None if moment is None else max(0.0, moment - time.monotonic())
        return (due if pause is None else pause if due is None else min(due, pause)), blocked

    def _write(self, port: Port, now: float) -> tuple[float | None, bool]:
        """Hands the driver what it may hold; returns after how many seconds to look again, and whether it is full."""
        held = max(DRIVER_BYTES, int(DRIVER_SECONDS / port.byte_time)) if port.byte_time > 0 else DRIVER_BYTES_FAST
        allowed = taken = 0
        while self._unsent:
            allowed = held - port.waiting()
            taken = port.write(bytes(self._unsent[:allowed])) if allowed > 0 else 0
            if not taken:
                break
            del self._unsent[:taken]
            self._write_since = now
        if not self._unsent:
            self._write_since = None
            return None, False
        self._write_since = now if self._write_since is None else self._write_since
        if now - self._write_since > WRITE_TIMEOUT:
            raise OSError(errno.EIO, f"the port took no bytes for {WRITE_TIMEOUT:g} s")
        # A full driver wakes the poll; one that has its share is looked at again when half of that is sent.
        return max(0.001, DRIVER_SECONDS / 2), allowed > 0
