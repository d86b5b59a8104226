"""The host's end of the serial link and the firmware behind it.

    with FirmwareProcess(config, lockstep=True) as firmware, Link(firmware.port) as link:
        link.arm()
        link.send_chunk(link.telemetry().tick, step_ticks=25, points=[[0.1, 0.2]])
        setpoints = firmware.advance(25)  # (25, 2); the last row is the point

The protocol is PROTOCOL.md; both sides take its constants from messages.json.
"""

from hyt.errors import ChunkRejected, LinkError
from hyt.firmware_bridge.clock import Clock
from hyt.firmware_bridge.constants import Interpolation, Result, State, StopAction, Trip
from hyt.firmware_bridge.info import Connected, Disconnected, Event, Heard, LinkInfo, LinkStatistics, StateChanged
from hyt.firmware_bridge.link import Accepted, Link
from hyt.firmware_bridge.messages import AxisInfo, Telemetry
from hyt.firmware_bridge.process import AxisConfig, FirmwareConfig, FirmwareProcess
from hyt.firmware_bridge.qemu import QemuFirmware

__all__ = [
    "Accepted",
    "AxisConfig",
    "AxisInfo",
    "ChunkRejected",
    "Clock",
    "Connected",
    "Disconnected",
    "Event",
    "FirmwareConfig",
    "FirmwareProcess",
    "Heard",
    "Interpolation",
    "Link",
    "LinkError",
    "LinkInfo",
    "LinkStatistics",
    "QemuFirmware",
    "Result",
    "State",
    "StateChanged",
    "StopAction",
    "Telemetry",
    "Trip",
]
