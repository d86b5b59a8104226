"""What a browser's page asks of the server, for benchmarks/view.py: every state, and the cameras' images with it."""

from __future__ import annotations

import http.client
import json
import os
import sys
from contextlib import closing, suppress


def main() -> None:
    """Look on at the port in the first argument until it ends; prints a line when the first state is there."""
    port = int(sys.argv[1])
    os.nice(10)  # most pages are on another computer
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", "/events")
        for number, line in enumerate(connection.getresponse()):
            if number == 0:
                print("looking", flush=True)
            if line.startswith(b"data: ") and (decision := json.loads(line[6:])["decision"]) is not None:
                for camera in decision["cameras"]:
                    with closing(http.client.HTTPConnection("127.0.0.1", port)) as other:
                        other.request("GET", f"/camera/{camera['name']}.png")
                        other.getresponse().read()


if __name__ == "__main__":
    with suppress(OSError, http.client.HTTPException):  # the run has ended
        main()
