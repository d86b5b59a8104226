"""Where the page is served: `:8080` is this computer alone, `HOST:PORT` is whom the network lets reach it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from hyt.errors import InputError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Address:
    """A host name or IP address without brackets, and a port; port 0 lets the system choose one."""

    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only this computer reaches it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(text: str) -> Address:
    """The address in `:PORT`, `HOST:PORT` or `[IPV6]:PORT`; raises InputError for any other text."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""  # IPv6 without brackets: which colon is the port's?
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or not _is_host(host):
        raise InputError(
            f"--view {text!r}", expected=":PORT or HOST:PORT", received="another form", remedy="e.g. --view :8080"
        )
    return Address(host or LOOPBACK, int(port))


def is_loopback(host: str) -> bool:
    """Whether a host name or IP address is this computer itself."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_ip(host: str) -> bool:
    """Whether it is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    return is_ip(host) or all(character.isalnum() or character in "-._" for character in host)
