"""A wire that misbehaves, between a host and a firmware: it damages what passes, repeatably, in both directions.

By hand, in front of any port of a firmware:

    python tests/proxy.py PORT --damage 0.05 --delay 0.02 --seed 7
    python -m hyt.firmware_bridge ping NEW_PORT          # NEW_PORT is the line that the proxy prints

What one side says is cut at its frame delimiters, however many reads it comes in: a microcontroller, and an emulator's
UART, hand over byte by byte. Each frame meets one of the faults with the probability `damage`: a bit flipped, a byte
dropped, a byte inserted, a burst overwritten, the end cut off, the frame lost, sent twice, or sent after the next.
`delay` holds every frame back by up to so many seconds, in order.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import os
import pty
import random
import select
import socket
import sys
import threading
import time
import tty
from collections import Counter
from types import TracebackType

SILENCE = 0.05  # seconds after which bytes that end no frame are passed on as they are

FAULTS = ("flip", "drop", "insert", "burst", "truncate", "lose", "duplicate", "reorder")


class Damage:
    """One direction of the wire: pieces go in, the pieces to send come out; the same seed does the same."""

    def __init__(self, seed: int, probability: float, faults: tuple[str, ...] = FAULTS) -> None:
        self._dice = random.Random(seed)
        self._probability = probability
        self._faults = faults
        self._held = b""  # waits for the next piece to pass it
        self.done: Counter[str] = Counter()

    def pieces(self, data: bytes) -> list[bytes]:
        """What leaves for what came: frames whole or damaged, none, twice or in another order."""
        out = []
        for piece in split_frames(data):
            fault = self._dice.choice(self._faults) if self._dice.random() < self._probability else "none"
            self.done[fault] += 1
            if fault == "reorder" and not self._held:
                self._held = piece
                continue
            out += [self._damaged(fault, piece)] * (2 if fault == "duplicate" else 1)
            if self._held:
                out.append(self._held)
                self._held = b""
        return [piece for piece in out if piece]

    def _damaged(self, fault: str, piece: bytes) -> bytes:
        data, at = bytearray(piece), self._dice.randrange(len(piece))
        if fault == "flip":
            data[at] ^= 1 << self._dice.randrange(8)
        elif fault == "drop":
            del data[at]
        elif fault == "insert":
            data.insert(at, self._dice.randrange(256))
        elif fault == "burst":
            data[at : at + 16] = self._dice.randbytes(len(data[at : at + 16]))
        elif fault == "truncate":
            del data[at:]
        elif fault == "lose":
            data.clear()
        return bytes(data)


def split_frames(data: bytes) -> list[bytes]:
    """The bytes cut between a zero that ends a frame and the zero that begins the next."""
    pieces, begin = [], 0
    while (at := data.find(b"\0\0", begin)) >= 0:
        pieces.append(data[begin : at + 1])
        begin = at + 1
    return [*pieces, data[begin:]] if begin < len(data) else pieces


class Frames:
    """One direction's bytes put together to frames again; what ends none for SILENCE seconds is a piece of its own."""

    def __init__(self) -> None:
        self._rest = b""
        self._since = 0.0

    def feed(self, data: bytes, now: float) -> list[bytes]:
        """The frames that are complete with these bytes, or the rest when its time is over."""
        if not data:
            late = self._rest if now - self._since >= SILENCE else b""
            self._rest = self._rest[len(late) :]
            return [late] if late else []
        *frames, last = split_frames(self._rest + data)
        self._since = now
        # A zero alone is the begin of a frame, not its end.
        self._rest = b"" if len(last) > 1 and last.endswith(b"\0") else last
        return frames if self._rest else [*frames, last]


class Proxy:
    """Runs in a thread between `port` (a path or tcp://host:port) and a pseudo-terminal, whose path is `near`."""

    def __init__(
        self, port: str, *, seed: int, damage: float, delay: float = 0.0, faults: tuple[str, ...] = FAULTS
    ) -> None:
        self.near_fd, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.near = os.ttyname(self._slave)
        self._far = _open(port)
        self.to_firmware = Damage(seed, damage, faults)
        self.to_host = Damage(seed + 1, damage, faults)
        self._delay = delay
        self._dice = random.Random(seed + 2)
        self._queue: list[tuple[float, int, int, bytes]] = []  # due, order, where to, what
        self._order = 0
        self._unsent = {self.near_fd: bytearray(), self._far: bytearray()}
        self._last = {self.near_fd: 0.0, self._far: 0.0}
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cut the wire."""
        self._closing = True
        self._thread.join()
        for fd in (self.near_fd, self._slave, self._far):
            os.close(fd)

    def _run(self) -> None:
        directions = {
            self.near_fd: (self.to_firmware, Frames(), self._far),
            self._far: (self.to_host, Frames(), self.near_fd),
        }
        for fd in directions:
            os.set_blocking(fd, False)  # who waits to write to one side would keep the other one waiting as well
        while not self._closing:
            timeout = max(0.0, min(0.02, self._queue[0][0] - time.monotonic())) if self._queue else 0.02
            full = [fd for fd, unsent in self._unsent.items() if unsent]
            ready, writable, _ = select.select(list(directions), full, [], timeout)
            for source, (damage, frames, target) in directions.items():
                data = b""
                if source in ready:
                    try:
                        data = os.read(source, 65536)
                    except OSError:
                        return
                    if not data:
                        return
                for frame in frames.feed(data, time.monotonic()):
                    for piece in damage.pieces(frame):
                        self._hold(target, piece)
            while self._queue and self._queue[0][0] <= time.monotonic():
                _, _, target, piece = heapq.heappop(self._queue)
                self._unsent[target] += piece
                writable.append(target)
            for target in writable:
                self._write(target)

    def _write(self, target: int) -> None:
        unsent = self._unsent[target]
        try:
            while unsent:
                del unsent[: os.write(target, unsent)]
        except BlockingIOError:
            pass  # the rest goes when there is room
        except OSError:
            unsent.clear()  # that side has gone

    def _hold(self, target: int, piece: bytes) -> None:
        due = max(self._last[target], time.monotonic() + self._dice.random() * self._delay)
        self._last[target] = due
        self._order += 1
        heapq.heappush(self._queue, (due, self._order, target, piece))


def _open(port: str) -> int:
    if port.startswith("tcp://"):
        host, _, number = port.removeprefix("tcp://").partition(":")
        return socket.create_connection((host, int(number))).detach()
    fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
    if os.isatty(fd):
        tty.setraw(fd)
    return fd


def main() -> int:
    """Runs until interrupted, then says what was done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("port", help="the firmware's port: a path or tcp://host:port")
    parser.add_argument("--damage", type=float, default=0.02, help="share of the frames that meet a fault (0.02)")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds by which a frame is held back at most (0)")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"some of {','.join(FAULTS)}")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    faults = tuple(options.faults.split(","))
    if unknown := set(faults) - set(FAULTS):
        parser.error(f"unknown faults: {', '.join(sorted(unknown))}")
    with Proxy(options.port, seed=options.seed, damage=options.damage, delay=options.delay, faults=faults) as proxy:
        print(proxy.near, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(1)
        print(f"to the firmware: {dict(proxy.to_firmware.done)}\nto the host: {dict(proxy.to_host.done)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
