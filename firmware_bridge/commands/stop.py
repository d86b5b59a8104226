"""stop: STOP at once, without a handshake; the firmware latches until a new session arms it."""

from __future__ import annotations

import argparse
import secrets
import select
import time
from contextlib import closing
from typing import TYPE_CHECKING

from hyt.firmware_bridge.commands.options import add_port
from hyt.firmware_bridge.device import find_device
from hyt.firmware_bridge.messages import Telemetry
from hyt.firmware_bridge.port import Port
from hyt.firmware_bridge.protocol import HostProtocol
from hyt.firmware_bridge.session import no_answer

if TYPE_CHECKING:
    from hyt.firmware_bridge.commands.options import Commands

TIMEOUT = 2.0  # seconds


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("stop", help="stop the firmware at once; it latches until a new session arms it")
    add_port(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Send STOP until the firmware's telemetry proves that it was heard."""
    with closing(find_device(options.port)) as device, closing(device.open(options.baudrate)) as port:
        telemetry = send_stop(port, time.monotonic() + TIMEOUT)
    print(f"{options.port}: {telemetry.state.name}, trip {telemetry.trip.name}, tick {telemetry.tick}")


def send_stop(port: Port, deadline: float) -> Telemetry:
    """The telemetry that answers STOP; raises LinkError when none has come by `deadline` (`time.monotonic`)."""
    # STOP is obeyed from any session, so no time is lost on opening one, and a latched firmware's is not disturbed.
    protocol = HostProtocol(secrets.randbelow(2**32 - 1) + 1, byte_time=port.byte_time)
    protocol.stop(time.monotonic())
    poll = select.poll()
    unsent = b""
    while (now := time.monotonic()) < deadline:
        due = protocol.resend(now)
        unsent += protocol.take_outgoing()
        unsent = unsent[port.write(unsent) :] if unsent else b""
        poll.register(port.fileno(), select.POLLIN | (select.POLLOUT if unsent else 0))
        wait = min(deadline, due if due is not None else deadline) - now
        if any(flags & ~select.POLLOUT for _, flags in poll.poll(max(1, round(wait * 1000)))):
            for arrival in protocol.receive(port.read(), time.monotonic()):
                if arrival.request is not None and isinstance(arrival.answer, Telemetry):
                    return arrival.answer
    raise no_answer(port.name, "STOP", TIMEOUT)
