"""Answers one request: the page and its parts, camera images, the stream of the run's state, and what a user says."""

from __future__ import annotations

import io
import json
import select
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from hyt.errors import HytError, LinkError
from hyt.runtime.view.web.message import message
from hyt.runtime.view.web.request import Reader, TooLargeError

if TYPE_CHECKING:
    from hyt.runtime.view.web.server import Server

PARTS = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("page", "period", "timeline", "words")
    },
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
PUBLIC = frozenset(PARTS) - {"/"}
"""What holds nothing of the run or of the token."""
TOKEN = "HYT_TOKEN"
"""Stands in page.html where the token goes."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}

_BETWEEN = 0.08  # seconds between two looks at the state
_SHARE = 0.04  # and for each page that looks on: more pages take no more of the loop's computer
_QUIET = 4.0  # seconds without news before a sign of life
_WAITING = 64 * 1024  # bytes of the stream that may wait for a client
_PATIENCE = 3.0  # seconds a client may take to receive what it is sent


class Handler(BaseHTTPRequestHandler):
    """One connection is one request: a page that polls nothing needs no more, and a hostile one gets no more."""

    server: Server
    connection: socket.socket
    protocol_version = default_request_version = "HTTP/1.1"
    server_version = "HyT"
    sys_version = ""
    error_content_type = "text/plain"
    error_message_format = "%(code)d\n"

    def handle(self) -> None:
        """Read the request within its bounds and answer it; a connection that breaks is nobody's error."""
        reader = Reader(self.connection)
        self.close_connection = True
        self.requestline, self.request_version, self.command = "", "HTTP/1.1", ""
        try:
            self.rfile = io.BytesIO(reader.head())
            self.server.heard(self.connection)
            self.connection.settimeout(_PATIENCE)
            self.raw_requestline = self.rfile.readline()
            if self.parse_request():
                self._route(reader)
        except TooLargeError:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large")
        except (TimeoutError, ConnectionError):
            return

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows the run."""

    def _route(self, reader: Reader) -> None:
        try:
            url = urlsplit(self.path)
            token = parse_qs(url.query, max_num_fields=8).get("token", [""])[0]
        except ValueError:
            return self._refuse(HTTPStatus.BAD_REQUEST, "no address")
        token = self.headers.get("X-HyT-Token", token)
        public = url.path in PUBLIC
        refusal = self.server.guard.refuses(
            self.command, self.headers, self.headers.get_all("Host", []), token, public=public
        )
        if refusal is not None:
            return self._refuse(*refusal)
        if self.command == "POST":
            return self._said(url.path, reader)
        if self.command != "GET":
            return self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "GET or POST")
        if url.path in PARTS:
            return self._page(*PARTS[url.path])
        if url.path == "/events":
            return self._stream()
        if url.path.startswith("/camera/") and url.path.endswith(".png"):
            camera = unquote(url.path.removeprefix("/camera/").removesuffix(".png"))
            png = self.server.pictures.png(self.server.state.now, camera)
            if png is not None:
                return self._reply(HTTPStatus.OK, "image/png", png)
        return self._refuse(HTTPStatus.NOT_FOUND, "nothing here")

    def _page(self, name: str, kind: str) -> None:
        data = files("hyt.runtime.view.web").joinpath(name).read_bytes()
        self._reply(HTTPStatus.OK, kind, data.replace(TOKEN.encode(), self.server.guard.token.encode()))

    def _said(self, path: str, reader: Reader) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or "Transfer-Encoding" in self.headers:
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "a body with its length")
        body = reader.body(int(length))
        controls = self.server.controls
        said: dict[str, Callable[[], None]] = {
            "/stop": controls.stop,
            "/back": controls.back,
            "/think": controls.think,
            "/follow": lambda: controls.follow(_text(body)),
        }
        if path not in said:
            return self._refuse(HTTPStatus.NOT_FOUND, "nothing here")
        try:
            said[path]()
        except LinkError as problem:
            return self._refuse(HTTPStatus.BAD_GATEWAY, str(problem))
        except HytError as problem:
            return self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(problem))
        except (ValueError, RecursionError):
            return self._refuse(HTTPStatus.BAD_REQUEST, 'a body like {"text": "move up"}')
        return self._reply(HTTPStatus.OK, "application/json", b'{"done": true}')

    def _stream(self) -> None:
        with self.server.stream() as room:
            if room:
                self._send_states()
            else:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages look on already")

    def _send_states(self) -> None:
        server = self.server
        # A page that does not read is noticed while little waits for it.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WAITING)
        self._head(HTTPStatus.OK, "text/event-stream", None)
        seen, since, following, sent = -1, 0, None, 0.0
        while True:
            pause = 0.0 if seen < 0 else max(_BETWEEN, _SHARE * server.streams)
            if select.select([self.connection], [], [], pause)[0]:
                return  # the page has left: it has nothing more to say here
            closing = server.closing.is_set()
            now, text = server.state.now, server.controls.text
            if now.version != seen or text != following:
                data = json.dumps(message(now, text, since), separators=(",", ":"), allow_nan=False)
                self.wfile.write(f"data: {data}\n\n".encode())
                since = now.periods[-1].number if now.periods else 0
                seen, following, sent = now.version, text, time.monotonic()
            elif time.monotonic() - sent > _QUIET:
                self.wfile.write(b": still here\n\n")
                sent = time.monotonic()
            if closing:
                return

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._reply(status, "application/json", json.dumps({"error": reason}).encode())

    def _reply(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self._head(status, kind, len(body))
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()


def _text(body: bytes) -> str:
    """The text in a body of JSON; raises ValueError without one."""
    said = json.loads(body)
    text = said.get("text") if isinstance(said, dict) else None
    if not isinstance(text, str):
        raise ValueError
    return text
