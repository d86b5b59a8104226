"""The options that ask for real-time scheduling, and what they say together with --threads."""

from __future__ import annotations

import argparse

from hyt.runtime.realtime import DEFAULT_PRIORITY, RealTime, read_cpus


def add_realtime_options(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    parser.add_argument(
        "--fifo",
        type=int,
        nargs="?",
        const=DEFAULT_PRIORITY,
        metavar="PRIORITY",
        help="SCHED_FIFO for the loop, the engine's threads and the link, and memory locked (1 to 98, "
        f"{DEFAULT_PRIORITY} without a number)",
    )
    parser.add_argument(
        "--cpus", type=_cpus, default=frozenset(), metavar="LIST", help="run on these CPUs alone, e.g. 2,3 or 4-7"
    )


def realtime_from(options: argparse.Namespace) -> RealTime:
    """What they ask for; `options.threads` becomes what fits on the CPUs. Raises InputError for what does not."""
    asked = RealTime(options.fifo, options.cpus)
    options.threads = asked.threads(options.threads)
    return asked


def _cpus(text: str) -> frozenset[int]:
    try:
        return read_cpus(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"expected a list like 2,4-6: {problem}") from None
