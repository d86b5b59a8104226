"""ping: round trips, one line each, and what the clock looks like after them."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from hyt.arguments import whole
from hyt.firmware_bridge.commands.options import add_port
from hyt.firmware_bridge.link import Link

if TYPE_CHECKING:
    from hyt.firmware_bridge.commands.options import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("ping", help="time a few round trips")
    add_port(parser)
    parser.add_argument("--count", type=whole(1), default=5, help="round trips (default 5)")
    parser.add_argument("--interval", type=float, default=0.2, help="seconds between them (default 0.2)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a line for each round trip and one for all."""
    with Link(options.port, baudrate=options.baudrate) as link:
        for index in range(options.count):
            if index:
                time.sleep(max(options.interval, 0.0))
            start = time.monotonic()
            telemetry = link.telemetry()
            milliseconds = (time.monotonic() - start) * 1e3
            print(f"{link.port}: tick {telemetry.tick} {telemetry.state.name} {milliseconds:.3f} ms", flush=True)
        seen = link.statistics
        print(
            f"{link.port}: {seen.resent} resent, {seen.lost} lost, {seen.bad_crc + seen.bad_framing} damaged; "
            f"round trip median {seen.round_trip_median * 1e3:.3f} ms, max {seen.round_trip_max * 1e3:.3f} ms; "
            f"clock {seen.drift * 1e6:+.0f} ppm"
        )
