"""A web page that shows a run and has a stop button: server, checks of requests, what is sent, and the page itself."""

from hyt.runtime.view.web.address import Address, read_address
from hyt.runtime.view.web.server import WebView

__all__ = ["Address", "WebView", "read_address"]
