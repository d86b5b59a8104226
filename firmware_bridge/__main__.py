"""Measures the link: `python -m hyt.firmware_bridge bench [PORT]`.

Without PORT it starts the host firmware twice: in lockstep, for what a simulated policy step costs, and in real time.
Prints a table, then one JSON line; times are milliseconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from hyt.errors import HytError
from hyt.firmware_bridge.link import Link
from hyt.firmware_bridge.process import AxisConfig, FirmwareConfig, FirmwareProcess

WARM_UP = 50
STEP_TICKS = 25  # a policy step of the simulated arm: 62.5 ms at 400 Hz


def _measure(action: Callable[[int], object], rounds: int) -> dict[str, float]:
    times = []
    for index in range(WARM_UP + rounds):
        start = time.perf_counter()
        action(index)
        times.append((time.perf_counter() - start) * 1e3)
    p50, p99 = np.percentile(times[WARM_UP:], [50, 99])
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3), "max": round(max(times[WARM_UP:]), 3)}


def _bench_here(rounds: int) -> dict[str, dict[str, float]]:
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
    return results


def _bench_port(port: str, rounds: int) -> dict[str, dict[str, float]]:
    # Pings alone: a bench must not move somebody's arm.
    with Link(port) as link:
        return {f"{port}: ping": _measure(lambda _: link.telemetry(), rounds)}


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m hyt.firmware_bridge", description="Measures the link.")
    commands = parser.add_subparsers(dest="command", required=True)
    bench = commands.add_parser("bench", help="round trips of the link; moves nothing")
    bench.add_argument("port", nargs="?", help="a serial port; default: the host firmware")
    bench.add_argument("--rounds", type=int, default=2000, help="measured round trips (default 2000)")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        results = _bench_port(options.port, options.rounds) if options.port else _bench_here(options.rounds)
    except HytError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{'milliseconds':32}{'p50':>9}{'p99':>9}{'max':>9}")
    for name, times in results.items():
        print(f"{name:32}{times['p50']:9.3f}{times['p99']:9.3f}{times['max']:9.3f}")
    print(json.dumps({"bench": "firmware_bridge", "unit": "ms", "rounds": options.rounds, "results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
