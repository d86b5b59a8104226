"""Reads one request from a socket within bounds of time and size, whatever the other side sends."""

from __future__ import annotations

import socket
import time

MOST_HEAD = 16 * 1024
"""Bytes of a request line with its headers."""

MOST_BODY = 4 * 1024
"""Bytes of a body: a text to follow."""

SECONDS = 5.0
"""In which a whole request must have arrived."""


class TooLargeError(Exception):
    """More bytes than a request may have."""


class Reader:
    """Reads from `connection` until `SECONDS` after it was made."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + SECONDS
        self._data = bytearray()

    def head(self) -> bytes:
        """Request line and headers with the empty line; raises TooLargeError, TimeoutError, ConnectionError."""
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            if len(self._data) > MOST_HEAD:
                raise TooLargeError
            self._receive()
        head = bytes(self._data[: end + 4])
        del self._data[: end + 4]
        if len(head) > MOST_HEAD:
            raise TooLargeError
        return head

    def body(self, length: int) -> bytes:
        """The `length` bytes behind the head; raises as `head` does."""
        if length > MOST_BODY:
            raise TooLargeError
        while len(self._data) < length:
            self._receive()
        return bytes(self._data[:length])

    def _receive(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        data = self._connection.recv(4096)
        if not data:
            raise ConnectionError
        self._data += data
