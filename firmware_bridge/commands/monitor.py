"""monitor: what happens on the link, line by line, through unplugging and resets, until it is interrupted."""

from __future__ import annotations

import argparse
import queue
import time
from typing import TYPE_CHECKING

from hyt.errors import LinkError
from hyt.firmware_bridge.commands.options import add_port
from hyt.firmware_bridge.info import Connected, Disconnected, Event, LinkInfo, StateChanged
from hyt.firmware_bridge.link import Link
from hyt.firmware_bridge.messages import Telemetry

if TYPE_CHECKING:
    from hyt.firmware_bridge.commands.options import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("monitor", help="show state, axes and statistics; reconnects; never arms")
    add_port(parser)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long (default: never)")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two reports (default 1)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print events as they come and a report in each interval; returns on Ctrl-C."""
    events: queue.Queue[Event] = queue.Queue()
    end = time.monotonic() + options.seconds
    try:
        with Link(options.port, baudrate=options.baudrate, reconnect=True, on_event=events.put) as link:
            report = time.monotonic()
            while (now := time.monotonic()) < end:
                if now >= report:
                    report = now + options.interval
                    if (telemetry := link.latest) is not None:
                        print(_report(link, telemetry), flush=True)
                try:
                    _show(link, events.get(timeout=max(min(report, end) - now, 0.001)))
                except queue.Empty:
                    continue
    except KeyboardInterrupt:
        return


def _show(link: Link, event: Event) -> None:
    if isinstance(event, Connected):
        print(f"{link.port}: connected, {_firmware(event.info)}", flush=True)
    elif isinstance(event, StateChanged):
        trip = f", trip {event.telemetry.trip.name} at {event.telemetry.trip_tick}" if event.telemetry.trip else ""
        print(f"{link.port}: tick {event.telemetry.tick} {event.telemetry.state.name}{trip}", flush=True)
    elif isinstance(event, Disconnected):
        if not event.retrying:
            raise LinkError(f"link to {link.port} is down", received=event.reason, remedy="start monitor again")
        print(f"{link.port}: disconnected, {event.reason}; trying again", flush=True)


def _firmware(info: LinkInfo) -> str:
    axes = ", ".join(f"{a.name} {a.low:g} to {a.high:g} {a.unit}".strip() for a in info.axes)
    return (
        f"{info.tick_hz} Hz, link timeout {info.link_timeout_ticks} ticks, stop action {info.stop_action.name}, "
        f"axes {axes}"
    )


def _report(link: Link, telemetry: Telemetry) -> str:
    seen, info = link.statistics, link.info
    axes = "  ".join(
        f"{axis.name} {value:+.4f} {axis.unit}".rstrip()
        for axis, value in zip(info.axes, telemetry.setpoints, strict=False)
    )
    return (
        f"{link.port}: tick {telemetry.tick} {telemetry.state.name}  {axes}  credit {seen.credit}  "
        f"round trip {seen.round_trip_median * 1e3:.2f}/{seen.round_trip_max * 1e3:.2f} ms  "
        f"clock {seen.drift * 1e6:+.0f} ppm  resent {seen.resent}  lost {seen.lost}  "
        f"damaged {seen.bad_crc + seen.bad_framing}"
    )
