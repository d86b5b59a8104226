"""Looks at the computer: cores, clock governor, load and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hyt.runtime.doctor.finding import Finding

ROOT = Path("/")
LEAST_MEMORY = 512  # MiB


def check_computer(root: Path = ROOT) -> list[Finding]:
    """Findings; `root` is where /sys and /proc are found."""
    return [*_governor(root), *_load(root), *_memory(root)]


def _governor(root: Path) -> Iterator[Finding]:
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    governors = {file.read_text().strip() for file in files}
    if not governors:
        yield Finding("clock governor", "good", "the cores' clock is not governed by this system")
    elif governors == {"performance"}:
        yield Finding("clock governor", "good", "performance")
    else:
        remedy = "`sudo cpupower frequency-set -g performance`; on a Jetson `sudo nvpmodel -m 0 && sudo jetson_clocks`"
        yield Finding("clock governor", "advice", f"{', '.join(sorted(governors))}: answers take longer", remedy)


def _load(root: Path) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError, IndexError):
        load = float((root / "proc/loadavg").read_text().split()[0])
        if load > max(cores - 1, 0.5):
            remedy = "end other programs, or give hyt-run fewer --threads"
            yield Finding(
                "cores", "advice", f"load {load:g} on {cores} cores: threads will wait for each other", remedy
            )
        else:
            yield Finding("cores", "good", f"{cores}, load {load:g}")


def _memory(root: Path) -> Iterator[Finding]:
    with suppress(OSError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                mebibytes = int(line.split()[1]) // 1024
                if mebibytes < LEAST_MEMORY:
                    yield Finding("memory", "wrong", f"{mebibytes} MiB available", "end other programs")
                else:
                    yield Finding("memory", "good", f"{mebibytes} MiB available")
