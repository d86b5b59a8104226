"""The one thread that owns the serial port: it writes what the protocol has to say and hands out what comes back."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

import serial

from hyt.errors import LinkError
from hyt.firmware_bridge.constants import MessageType
from hyt.firmware_bridge.protocol import Answer, Arrival, HostProtocol, Key

Send = Callable[[HostProtocol, float], Key]


class Worker:
    """Runs a HostProtocol over an open port until `close`; takes the port's ownership.

    `on_arrival` is called in the thread with every arrival and must be quick.
    """

    def __init__(
        self, port: serial.Serial, protocol: HostProtocol, on_arrival: Callable[[Arrival, float], None]
    ) -> None:
        self._port = port
        self._protocol = protocol
        self._on_arrival = on_arrival
        self._lock = threading.Lock()  # guards the protocol and all below
        self._waiting: dict[Key, Future[Answer]] = {}
        self._heartbeat: float | None = None
        self._next_heartbeat = 0.0
        self._last_heartbeat: Key | None = None
        self._stop_pending = False
        self._closing = False
        self._failure: str | None = None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._run, name=f"hyt link {port.port}", daemon=True)
        self._thread.start()

    def ask(self, send: Send) -> tuple[Key, Future[Answer]]:
        """Sends a request; the future gets its answer. Raises LinkError when the link is down."""
        with self._lock:
            if self._failure is not None:
                raise self._down()
            key = send(self._protocol, time.monotonic())
            future: Future[Answer] = Future()
            self._waiting[key] = future
            self._stop_pending = self._stop_pending or key[0] is MessageType.STOP
            self._wake()
        return key, future

    def forget(self, key: Key) -> None:
        """Gives up on a request."""
        with self._lock:
            self._protocol.forget(key)
            self._waiting.pop(key, None)

    def start_heartbeat(self, interval: float) -> None:
        """Sends a PING whenever `interval` seconds have passed since the last."""
        with self._lock:
            self._heartbeat = interval
            self._wake()

    def close(self) -> None:
        """Ends the thread and closes the port; who still waits gets a LinkError. May be called again."""
        with self._lock:
            self._closing = True
            self._wake()
        self._thread.join()

    def _wake(self) -> None:
        # Under the lock: the ended thread has closed the pipe. A full pipe has woken the thread already.
        if self._failure is None:
            with suppress(BlockingIOError):
                os.write(self._wake_write, b"\0")

    def _down(self) -> LinkError:
        return LinkError(
            f"link to {self._port.port} is down", received=self._failure or "", remedy="open a new link and arm again"
        )

    def _run(self) -> None:
        try:
            while not self._closing and not self._protocol.session_lost:
                self._turn()
            failure = "it was closed" if self._closing else "another host took over or the firmware was reset"
        except Exception as error:  # whatever ended the thread is told to everyone who asks it
            failure = str(error) or type(error).__name__
        self._port.close()
        with self._lock:
            self._failure = failure
            waiting = list(self._waiting.values())
            self._waiting.clear()
            os.close(self._wake_read)
            os.close(self._wake_write)
        for future in waiting:
            future.set_exception(self._down())

    def _turn(self) -> None:
        timeout = self._write_due()
        files = [self._port.fileno(), self._wake_read]
        readable, _, _ = select.select(files, [], [], timeout)
        if self._wake_read in readable:
            os.read(self._wake_read, 4096)
        if self._port.fileno() in readable:
            data = self._port.read(65536)
            now = time.monotonic()
            with self._lock:
                arrivals = self._protocol.receive(data, now)
                answered = [
                    (self._waiting.pop(a.request.key), a.answer)
                    for a in arrivals
                    if a.request and a.request.key in self._waiting
                ]
            for arrival in arrivals:
                self._on_arrival(arrival, now)
            for future, answer in answered:
                future.set_result(answer)

    def _write_due(self) -> float | None:
        """Writes everything that is due; returns the seconds until something is due again."""
        now = time.monotonic()
        with self._lock:
            if self._heartbeat is not None and now >= self._next_heartbeat:
                # A heartbeat is not worth sending twice: the next one replaces it.
                if self._last_heartbeat is not None:
                    self._protocol.forget(self._last_heartbeat)
                self._last_heartbeat = self._protocol.ping(now)
                self._next_heartbeat = now + self._heartbeat
            resend_at = self._protocol.resend(now)
            outgoing = self._protocol.take_outgoing()
            flush, self._stop_pending = self._stop_pending, False
            due = [at for at in (resend_at, self._next_heartbeat if self._heartbeat else None) if at is not None]
        if flush:
            # What the driver still holds must not be in STOP's way; commands lost by this are sent again.
            self._port.reset_output_buffer()
        if outgoing:
            self._port.write(outgoing)
        return max(0.0, min(due) - time.monotonic()) if due else None
