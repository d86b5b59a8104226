"""Tests of hyt.runtime.view.web.address: what --view takes."""

from __future__ import annotations

import pytest

from hyt.errors import InputError
from hyt.runtime.view.web.address import Address, read_address


@pytest.mark.parametrize(
    ("text", "address", "local"),
    [
        (":8080", Address("127.0.0.1", 8080), True),
        (":0", Address("127.0.0.1", 0), True),
        ("localhost:80", Address("localhost", 80), True),
        ("0.0.0.0:8080", Address("0.0.0.0", 8080), False),
        ("robot.local:8080", Address("robot.local", 8080), False),
        ("[::1]:8080", Address("::1", 8080), True),
        ("[::]:8080", Address("::", 8080), False),
    ],
)
def test_a_port_is_local_and_a_host_is_as_it_is(text: str, address: Address, local: bool) -> None:
    assert read_address(text) == address
    assert address.is_local is local


@pytest.mark.parametrize(
    "text", ["", "8080", ":", ":-1", ":65536", ":8a", "::1:80", "a b:80", "http://x:80", ":\u0661"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"expected :PORT or HOST:PORT; .*e\.g\. --view :8080"):
        read_address(text)


def test_an_address_is_written_as_in_a_url() -> None:
    assert str(Address("::1", 80)) == "[::1]:80"
    assert str(Address("localhost", 80)) == "localhost:80"
