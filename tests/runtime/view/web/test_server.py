"""The page's server: what it sends, what reaches the run, and that no client can make it large or slow."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyt.errors import InputError, LinkError
from hyt.runtime.listener import LimiterState, ThoughtProgress
from hyt.runtime.view.web import Address, WebView, request
from hyt.runtime.view.web.handler import PUBLIC
from hyt.runtime.view.web.server import MOST_CONNECTIONS, MOST_STREAMS


class Stream:
    """A page's stream of states."""

    def __init__(self, page: Any) -> None:
        self._connection = http.client.HTTPConnection(page.host, page.port, timeout=20)
        self._connection.request("GET", "/events")
        self.answer = self._connection.getresponse()

    def next(self) -> dict[str, Any]:
        while not (line := self.answer.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        message: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
        return message

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def raw(page: Any, data: bytes) -> bytes:
    """The whole answer to these bytes."""
    with socket.create_connection((page.host, page.port), timeout=20) as client:
        client.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(4096):
                answer += part
    return answer


def test_the_stream_sends_the_whole_state_and_then_what_has_changed(page: Any) -> None:
    with contextlib.closing(Stream(page)) as stream:
        first = stream.next()
        assert (first["robot"], first["instruction"], first["following"]) == ("fake", "open the drawer", None)
        assert first["thought"]["text"] == "PLAN reach lower"
        assert [period[0] for period in first["periods"]] == [1, 2, 3]
        assert first["decision"]["action"][0] == {
            "name": "x", "unit": "m", "value": pytest.approx(-0.46875), "low": -0.5, "high": 0.5
        }  # fmt: skip
        assert first["counters"] == {"ticks": 75, "chunks": 3, "rejected_frames": 0}
        page.state.thought(ThoughtProgress(9, 3, 75, time.monotonic(), "plan reach", 2, 0.25, "writing"))
        second = stream.next()
        assert (second["thought"]["text"], second["thought"]["state"]) == ("plan reach", "writing")
        assert [(period[0], period[4]) for period in second["periods"]] == [(3, 0.25)]
        page.controls.follow("reach lower")
        assert stream.next()["following"] == "reach lower"


def test_numbers_that_json_lacks_are_none(page: Any) -> None:
    page.state.limited(LimiterState(float("inf"), float("nan"), ""))
    with contextlib.closing(Stream(page)) as stream:
        assert stream.next()["limiter"] == {"thoughts": None, "tokens": None, "waiting_for": ""}


def test_the_last_state_of_a_run_still_reaches_its_pages(page: Any) -> None:
    with contextlib.closing(Stream(page)) as stream:
        stream.next()
        page.state.over("done")
        page.view.__exit__(None, None, None)
        assert stream.next()["over"] == "done"
        assert stream.answer.read() == b"\n"  # the end of the message, and of the stream


def test_a_camera_image_is_the_one_that_the_policy_saw(page: Any) -> None:
    status, headers, body = page.ask("GET", "/camera/camera0.png?v=3")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    seen = page.state.now.decision.observation.images["camera0"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(body))), seen)


def test_what_the_user_says_reaches_the_run(page: Any) -> None:
    assert page.post("/follow", json.dumps({"text": " reach lower "}).encode()) == 200
    assert page.controls.text == "reach lower"
    assert page.post("/back") == 200
    assert page.controls.text is None
    assert page.post("/think") == 200
    assert page.controls.take_think()
    assert page.post("/stop") == 200
    assert page.controls.stopped


def test_a_text_that_the_policy_cannot_read_is_refused_with_its_reason(page: Any) -> None:
    status, _, body = page.ask("POST", "/follow", b'{"text": "reach the moon"}', X_HyT_Token=page.token)
    assert status == 422
    assert "unknown 'moon'" in json.loads(body)["error"]
    assert page.controls.text is None


def test_a_stop_that_the_firmware_does_not_confirm_is_an_error_on_the_page(page: Any) -> None:
    def fails() -> None:
        raise LinkError("link to /dev/ttyACM0", received="no answer to STOP")

    page.controls.stop = fails
    status, _, body = page.ask("POST", "/stop", X_HyT_Token=page.token)
    assert status == 502
    assert json.loads(body)["error"] == "link to /dev/ttyACM0; received no answer to STOP"


def test_the_page_comes_whole_and_runs_no_script_but_its_own(page: Any) -> None:
    _, headers, body = page.ask("GET", "/")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    wanted: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            wanted.extend(value or "" for name, value in attributes if name in ("src", "href"))
            assert not any(name.startswith("on") or name == "style" for name, _ in attributes)

    Links().feed(body.decode())
    assert sorted(wanted) == ["/icon.svg", "/page.css", "/page.js"]
    for path in wanted:
        assert page.ask("GET", path)[0] == 200


@pytest.mark.parametrize("path", sorted(path for path in PUBLIC if path.endswith(".js")))
def test_a_script_never_writes_markup(page: Any, path: str) -> None:
    script = page.ask("GET", path)[2].decode()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in script


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /../server.py HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /camera/..%2f..%2fserver.py.png HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /?" + b"a=b&" * 99 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 421),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"\x00\xff\r\n\r\n", 400),
        (b"\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 1000 + b"\r\n", 431),
    ],
)
def test_a_malformed_request_is_refused(page: Any, sent: bytes, status: int | None) -> None:
    answer = raw(page, sent)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()) if status is not None else answer == b""
    assert page.ask("GET", "/")[0] == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"[1]", {}, 400),
        (b'{"text": 5}', {}, 400),
        (b'{"text": "\xff"}', {}, 400),
        (b"[" * 4000, {}, 400),
        (b'{"text": ""}', {}, 422),
        (b'{"text": "\\ud800"}', {}, 422),
        (b"a" * 5000, {}, 413),
        (b"", {"Content_Length": "99999999999999999999"}, 413),
        (b"", {"Content_Length": "-1"}, 411),
        (b"", {"Content_Length": "x"}, 411),
        (b"", {"Transfer_Encoding": "chunked"}, 411),
    ],
)
def test_a_malformed_text_to_follow_is_refused(page: Any, body: bytes, headers: dict[str, str], status: int) -> None:
    assert page.post("/follow", body, **headers) == status
    assert page.controls.text is None


def test_a_client_that_sends_byte_by_byte_is_put_out(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "SECONDS", 0.3)
    with socket.create_connection((page.host, page.port), timeout=20) as client:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 20:
                client.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - began < 15


def test_silent_connections_make_room_for_a_stop(page: Any) -> None:
    token = page.token
    with contextlib.ExitStack() as stack:
        for _ in range(3 * MOST_CONNECTIONS):
            stack.enter_context(socket.create_connection((page.host, page.port), timeout=20))
        assert page.ask("POST", "/stop", X_HyT_Token=token)[0] == 200
        assert sum(thread.name.startswith("Thread-") for thread in threading.enumerate()) <= MOST_CONNECTIONS + 8
    assert page.controls.stopped


def test_more_pages_than_may_look_on_are_told_so_and_one_that_leaves_makes_room(page: Any) -> None:
    streams = [Stream(page) for _ in range(MOST_STREAMS)]
    for stream in streams:
        stream.next()
    assert page.ask("GET", "/events")[0] == 503
    assert page.post("/back") == 200
    streams.pop().close()
    until(lambda: stream_opens(page))
    for stream in streams:
        stream.close()


def stream_opens(page: Any) -> bool:
    stream = Stream(page)
    stream.close()
    return bool(stream.answer.status == 200)


def test_a_page_that_does_not_read_is_dropped_and_the_run_never_waits(
    page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyt.runtime.view.web.handler._PATIENCE", 0.2)
    monkeypatch.setattr("hyt.runtime.view.web.handler._BETWEEN", 0.0)
    monkeypatch.setattr("hyt.runtime.view.web.handler._SHARE", 0.0)
    with socket.create_connection((page.host, page.port), timeout=20) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: streams_open(page) == 1)
        longest = 0.0
        deadline = time.monotonic() + 30
        while streams_open(page):
            assert time.monotonic() < deadline
            began = time.perf_counter()
            page.state.limited(LimiterState(1, 2, "a long reason " * 200))
            longest = max(longest, time.perf_counter() - began)
            time.sleep(0.001)
        assert longest < 1


def streams_open(page: Any) -> int:
    return int(page.view._server.streams)


def test_a_port_that_is_taken_and_an_address_of_another_computer_are_refused(page: Any) -> None:
    for address, received in ((Address("127.0.0.1", page.port), "a port that is taken"), (Address("192.0.2.1", 0), "")):
        with pytest.raises(InputError, match=rf"--view {address}; expected .*; received {received}.*; choose another"):
            WebView(address, page.state, page.controls)
