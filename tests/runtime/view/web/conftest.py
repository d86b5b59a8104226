"""A page that is served over a run of a fake robot, and how to ask it without a browser."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes import FakeRobot, fake_policy

from hyt.runtime.controls import Controls
from hyt.runtime.loop import run_episode
from hyt.runtime.view.state import RunState
from hyt.runtime.view.web import Address, WebView


class Page:
    """The page, the run behind it, and a client that sends what it is told to."""

    def __init__(self, view: WebView, state: RunState, controls: Controls, host: str) -> None:
        self.view, self.state, self.controls = view, state, controls
        found = re.fullmatch(r"http://[^/]*:(\d+)/(?:\?token=(.+))?", view.url)
        assert found is not None
        self.host, self.port, self.url_token = host, int(found[1]), found[2]

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of the answer; underscores in names of headers are hyphens."""
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=20)) as connection:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def post(self, path: str, body: bytes = b"", **headers: str) -> int:
        """Status of a POST with the token."""
        return self.ask("POST", path, body, **{"X_HyT_Token": self.token, **headers})[0]

    @property
    def token(self) -> str:
        """As the page's script finds it."""
        query = f"/?token={self.url_token}" if self.url_token else "/"
        found = re.search(rb'name="hyt-token" content="([^"]+)"', self.ask("GET", query)[2])
        assert found is not None
        return found[1].decode()


def serve(folder: Path, host: str = "127.0.0.1") -> Iterator[Page]:
    """A page at `host` that shows a finished episode of three thoughts."""
    policy, _ = fake_policy(folder)
    state, robot, controls = RunState(), FakeRobot(), Controls(policy.readable)
    state.robot_opened("fake", modality="think", episodes=1, counters=robot.counters)
    run_episode(policy, robot, instruction="open the drawer", modality="think", listeners=[state])
    with WebView(Address(host, 0), state, controls) as view:
        yield Page(view, state, controls, "127.0.0.1")


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """For this computer alone."""
    yield from serve(tmp_path)


@pytest.fixture
def open_page(tmp_path: Path) -> Iterator[Page]:
    """For whom the network lets."""
    yield from serve(tmp_path, "0.0.0.0")
