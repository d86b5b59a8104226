"""Whose requests the page's server answers: its own page's, by its own name, with the token."""

from __future__ import annotations

import socket
from typing import Any

import pytest

COMMANDS = ("/stop", "/follow", "/back", "/think")


@pytest.mark.parametrize("path", COMMANDS)
@pytest.mark.parametrize("token", ["", "wrong", "\u00e9", "HYT_TOKEN"])
def test_nothing_is_obeyed_without_the_token(page: Any, path: str, token: str) -> None:
    status, _, body = page.ask("POST", path, b'{"text": "reach lower"}', X_HyT_Token=token)
    assert status == 403
    assert b"token" in body
    assert not page.controls.stopped
    assert page.controls.text is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_page_of_another_site_is_not_obeyed_even_with_the_token(page: Any, headers: dict[str, str]) -> None:
    assert page.post("/stop", **headers) == 403
    assert not page.controls.stopped


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1", "", "[", "127.0.0.1@x"]
)
def test_another_name_for_this_server_is_refused(page: Any, host: str) -> None:
    for path in ("/", "/page.js", "/events", "/camera/camera0.png"):
        assert page.ask("GET", path, Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1:8080", "[::1]:80"])
def test_this_computer_by_any_of_its_names_and_through_a_tunnel_is_answered(page: Any, host: str) -> None:
    assert page.ask("GET", "/", Host=host)[0] == 200


def test_a_request_with_two_hosts_is_refused(page: Any) -> None:
    with socket.create_connection((page.host, page.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 421 ")


def test_the_page_itself_is_obeyed(page: Any) -> None:
    own = f"127.0.0.1:{page.port}"
    assert page.post("/follow", b'{"text": "reach lower"}', Origin=f"http://{own}", Sec_Fetch_Site="same-origin") == 200
    assert page.controls.text == "reach lower"


def test_a_link_to_the_page_may_be_followed_from_anywhere(page: Any) -> None:
    assert page.ask("GET", "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert page.ask("GET", "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403


@pytest.mark.parametrize("path", ["/", "/events", "/camera/camera0.png"])
def test_beyond_this_computer_nobody_looks_on_without_the_token(open_page: Any, path: str) -> None:
    for token in ("", "?token=", "?token=wrong", "?token"):
        assert open_page.ask("GET", path + token)[0] == 403
    assert open_page.ask("GET", "/page.js")[0] == 200  # holds nothing


def test_beyond_this_computer_the_printed_address_opens_the_page(open_page: Any) -> None:
    assert open_page.url_token
    query = f"?token={open_page.url_token}"
    assert open_page.ask("GET", f"/{query}")[0] == 200
    assert open_page.ask("GET", f"/camera/camera0.png{query}")[0] == 200
    assert open_page.ask("GET", f"/{query}", Host=socket.gethostname())[0] == 200
    assert open_page.ask("GET", f"/{query}", Host="evil.example")[0] == 421
    assert open_page.post("/stop") == 200
    assert open_page.controls.stopped


def test_two_runs_have_two_tokens(page: Any, open_page: Any) -> None:
    assert len(page.token) >= 32
    assert page.token != open_page.token
