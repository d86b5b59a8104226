"""bench: round trips and throughput of a link; moves nothing. A table, then one JSON line.

Without PORT it starts the host firmware twice: in lockstep, for what a simulated policy step costs, and in real time.
Throughput is measured with chunks of the largest size to a firmware that is not armed: it checks and refuses each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from hyt.arguments import whole
from hyt.errors import ChunkRejected
from hyt.firmware_bridge.codec import CRC_SIZE
from hyt.firmware_bridge.commands.options import add_port
from hyt.firmware_bridge.constants import CHUNK, HEADER, WINDOW
from hyt.firmware_bridge.link import Link
from hyt.firmware_bridge.process import AxisConfig, FirmwareConfig, FirmwareProcess

if TYPE_CHECKING:
    from hyt.firmware_bridge.commands.options import Commands

WARM_UP = 50
TIMEOUT = 10.0  # seconds: behind TCP the largest chunks wait for one another on a wire whose speed the link cannot know
STEP_TICKS = 25  # a policy step of the simulated arm: 62.5 ms at 400 Hz


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("bench", help="measure round trips and throughput; moves nothing")
    add_port(parser, optional=True)
    parser.set_defaults(run=run)
    parser.add_argument("--rounds", type=whole(1), default=2000, help="measured round trips (default 2000)")


def run(options: argparse.Namespace) -> None:
    """Measure and print."""
    if options.port:
        with Link(options.port, baudrate=options.baudrate, timeout=TIMEOUT) as link:
            results = {f"{options.port}: ping": _measure(lambda _: link.telemetry(), options.rounds)}
            bytes_per_second = _throughput(link, options.rounds)
    else:
        results, bytes_per_second = _bench_here(options.rounds)
    print(f"{'milliseconds':32}{'p50':>9}{'p99':>9}{'max':>9}")
    for name, times in results.items():
        print(f"{name:32}{times['p50']:9.3f}{times['p99']:9.3f}{times['max']:9.3f}")
    print(f"chunks to the firmware: {bytes_per_second / 1e3:.0f} kB/s")
    report = {"bench": "firmware_bridge", "unit": "ms", "rounds": options.rounds, "results": results}
    print(json.dumps({**report, "chunk_bytes_per_second": round(bytes_per_second)}))


def _measure(action: Callable[[int], object], rounds: int) -> dict[str, float]:
    times = []
    for index in range(WARM_UP + rounds):
        start = time.perf_counter()
        action(index)
        times.append((time.perf_counter() - start) * 1e3)
    p50, p99 = np.percentile(times[WARM_UP:], [50, 99])
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3), "max": round(max(times[WARM_UP:]), 3)}


def _throughput(link: Link, rounds: int) -> float:
    """Bytes of chunk frames a second, as many on their way as the window takes."""
    axes = len(link.info.axes)
    points = np.zeros((link.info.max_points // axes, axes))
    size = HEADER.size + CHUNK.size + 4 * points.size + CRC_SIZE
    count = max(min(rounds // 10, 200), 4)

    def refused(_: int) -> None:
        try:
            link.send_chunk(0, 1, points)
        except ChunkRejected:
            return

    start = time.perf_counter()
    with ThreadPoolExecutor(WINDOW) as pool:
        list(pool.map(refused, range(count)))
    return count * size / (time.perf_counter() - start)


def _bench_here(rounds: int) -> tuple[dict[str, dict[str, float]], float]:
    axes = [AxisConfig(name, "m", -1, 1, 0, 0) for name in ("x", "y", "z", "gripper")]
    config = FirmwareConfig(axes, tick_hz=400, link_timeout_ticks=400, stall_limit_ticks=400)
    results = {}
    with FirmwareProcess(config, lockstep=True) as firmware, Link(firmware.port) as link:
        link.arm()

        def step(index: int) -> None:
            link.send_chunk(index * STEP_TICKS, STEP_TICKS, np.full((1, 4), (index % 100) / 100))
            firmware.advance(STEP_TICKS)

        results[f"lockstep: chunk + {STEP_TICKS} ticks"] = _measure(step, rounds)
    with FirmwareProcess(config, lockstep=False) as firmware, Link(firmware.port) as link:
        results["real time: ping"] = _measure(lambda _: link.telemetry(), rounds)
        return results, _throughput(link, rounds)
