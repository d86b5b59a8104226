"""Serves the page of a run: one thread a request, a bounded number of them, none of which the loop ever waits for."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any

from hyt.errors import InputError
from hyt.runtime.controls import Controls
from hyt.runtime.view.state import RunState
from hyt.runtime.view.web.address import Address
from hyt.runtime.view.web.guard import Guard
from hyt.runtime.view.web.handler import Handler
from hyt.runtime.view.web.pictures import Pictures

MOST_CONNECTIONS = 32
MOST_STREAMS = 8
"""Pages that may look on at the same time."""

_GOODBYE = 3.0  # seconds in which the pages hear that the run is over


class WebView:
    """The page of a run at an address until its block ends.

    Raises InputError when the address cannot be listened at.
    """

    def __init__(self, address: Address, state: RunState, controls: Controls) -> None:
        try:
            self._server = Server(address, state, controls)
        except (OSError, UnicodeError) as problem:
            taken = isinstance(problem, OSError) and problem.errno == errno.EADDRINUSE
            raise InputError(
                f"--view {address}",
                expected="an address of this computer with a free port",
                received="a port that is taken" if taken else str(problem),
                remedy="choose another port; :0 finds a free one",
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="hyt page", daemon=True)

    def __enter__(self) -> WebView:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.say_goodbye(_GOODBYE)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def is_local(self) -> bool:
        """Whether only this computer reaches it."""
        return self._server.address.is_local

    @property
    def url(self) -> str:
        """What to open in a browser; with the token where one is needed to look."""
        address = self._server.address
        if address.is_local:
            return f"http://{address}/"
        reachable = socket.gethostname() if address.host in ("0.0.0.0", "::") else address.host
        return f"http://{Address(reachable, address.port)}/?token={self._server.guard.token}"


class Server(ThreadingHTTPServer):
    """What the requests share. When it is full, the connection that has been silent for longest makes room."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: Address, state: RunState, controls: Controls) -> None:
        family, _, _, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        super().__init__((str(where[0]), int(where[1])), Handler)
        self.address = Address(address.host, self.server_address[1])
        self.state, self.controls = state, controls
        self.guard = Guard(self.address)
        self.pictures = Pictures()
        self.closing = threading.Event()
        self._changed = threading.Condition()  # guards those below
        self.streams = 0
        self._connections = 0
        self._silent: dict[socket.socket, None] = {}  # those that have not asked yet, the oldest first

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, unless there are too many that are being answered."""
        with self._changed:
            full = self._connections >= MOST_CONNECTIONS
            oldest = next(iter(self._silent), None) if full else None
            if oldest is not None:
                del self._silent[oldest]
                oldest.shutdown(socket.SHUT_RDWR)  # its thread sees the end
            refused = full and oldest is None
            if not refused:
                self._connections += 1
                self._silent[request] = None
        if refused:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def heard(self, request: socket.socket) -> None:
        """The connection has asked: it is answered now, and no more put out."""
        with self._changed:
            self._silent.pop(request, None)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._silent.pop(request, None)
                self._connections -= 1
                self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a browser that has left is no fault of the run, whose terminal this is."""

    @contextmanager
    def stream(self) -> Iterator[bool]:
        """A page looks on in the block, if that yields true: there may be too many already."""
        with self._changed:
            room = self.streams < MOST_STREAMS
            self.streams += room
        try:
            yield room
        finally:
            with self._changed:
                self.streams -= room

    def say_goodbye(self, seconds: float) -> None:
        """Let streams and replies send what they have last, for at most this long."""
        self.closing.set()
        with self._changed:
            self._changed.wait_for(lambda: self._connections == len(self._silent), seconds)
