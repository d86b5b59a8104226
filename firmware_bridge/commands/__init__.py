"""The subcommands of `python -m hyt.firmware_bridge`, one file each with `add(commands)`."""

from hyt.firmware_bridge.commands import bench, monitor, ping, stop

ALL = (monitor, ping, stop, bench)
