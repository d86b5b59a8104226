"""Which requests are answered: from the right page, for this server by its own name, and with the token.

A page of another site can make a browser send requests to this server, or give its own name this server's address (DNS
rebinding). The first kind has a foreign Origin, and a POST also lacks the token, which only our page knows; the second
has a foreign Host.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from email.message import Message
from http import HTTPStatus
from urllib.parse import urlsplit

from hyt.runtime.view.web.address import Address, is_ip, is_loopback


class Guard:
    """Judges the requests to one address.

    token: what a POST must bring, and beyond loopback every request but those for style and script, which hold nothing
    """

    def __init__(self, address: Address) -> None:
        self.token = secrets.token_urlsafe(24)
        self._local = address.is_local
        own = socket.gethostname().lower()
        self._names = {"localhost"} if self._local else {"localhost", address.host.lower(), own, f"{own}.local"}

    def refuses(
        self, method: str, headers: Message, hosts: list[str], token: str, *, public: bool
    ) -> tuple[HTTPStatus, str] | None:
        """Status and reason of a refusal; None where the request is to be answered.

        `hosts` are all its Host headers; `public` says that it asks for style or script.
        """
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return HTTPStatus.MISDIRECTED_REQUEST, "this server is not that host"
        origin = headers.get("Origin")
        foreign = origin is not None and origin not in (f"http://{hosts[0]}", f"https://{hosts[0]}")
        linked = method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate"  # somebody followed a link to the page
        if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none") and not linked:
            foreign = True
        if foreign:
            return HTTPStatus.FORBIDDEN, "not from this server's own page"
        wanted = method == "POST" or not (self._local or public)
        if wanted and not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            return HTTPStatus.FORBIDDEN, "open the address that hyt-run printed: it holds the token"
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if self._local:
            return is_loopback(name)
        return is_ip(name) or name in self._names  # an address is nobody's name, so it cannot be rebound
