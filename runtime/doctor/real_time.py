"""Looks at how well this computer keeps time: kernel, limits, isolated CPUs, a Jetson's power mode, and its timers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hyt.runtime.doctor.finding import Finding
from hyt.runtime.realtime import memlock_limit, rtprio_limit

ROOT = Path("/")
LIMITS = "see docs/service.md; without it --fifo is refused"
SECONDS = 1.0  # of measuring
PERIOD = 0.001  # seconds
LATE_P99, LATE_MOST = 0.0005, 0.005  # seconds; more is told


def check_real_time(root: Path = ROOT) -> list[Finding]:
    """Findings; `root` is where /sys, /proc, /etc and /var are found."""
    return [
        *_kernel(root),
        *_throttling(root),
        *_limits(),
        *_isolated(root),
        *_power_mode(root),
        timer_finding(lateness(SECONDS)),
    ]


def lateness(seconds: float) -> list[float]:
    """By how many seconds this thread wakes up too late, each PERIOD for so long, as the control loop would."""
    late = []
    due = time.monotonic()
    end = due + seconds
    while due < end:
        due += PERIOD
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        late.append(now - due)
        due = max(due, now - PERIOD)  # what was missed is not made up for
    return late


def timer_finding(late: list[float]) -> Finding:
    """What lateness in seconds says."""
    ordered = sorted(late)
    p99, most = ordered[len(ordered) * 99 // 100], ordered[-1]
    found = f"wakes up {p99 * 1e3:.2f} ms late at p99, {most * 1e3:.2f} ms at most, in {len(late)} periods"
    if p99 > LATE_P99 or most > LATE_MOST:
        return Finding("timer", "advice", found, "end other programs, or drive with --fifo and --cpus")
    return Finding("timer", "good", found)


def _kernel(root: Path) -> Iterator[Finding]:
    with suppress(OSError):
        version = (root / "proc/version").read_text()
        if "PREEMPT_RT" in version or _text(root / "sys/kernel/realtime") == "1":
            yield Finding("kernel", "good", "PREEMPT_RT")
        elif "PREEMPT" in version:
            model = "PREEMPT_DYNAMIC" if "PREEMPT_DYNAMIC" in version else "PREEMPT"
            yield Finding(
                "kernel", "good", f"{model}: no real-time kernel; the firmware keeps its ticks whatever it does"
            )
        else:
            remedy = "take a kernel with PREEMPT_RT where chunks come late"
            yield Finding(
                "kernel", "advice", "not preemptible: a system call may delay the loop by milliseconds", remedy
            )


def _throttling(root: Path) -> Iterator[Finding]:
    runtime, period = (_number(root / f"proc/sys/kernel/sched_rt_{name}_us") for name in ("runtime", "period"))
    if runtime is None or not period:
        return
    if runtime < 0:
        found, remedy = "off: a real-time thread that never sleeps takes its CPU for good", "leave a CPU out of --cpus"
        yield Finding("real-time throttling", "advice", found, remedy)
    else:
        share = 100 * runtime / period
        yield Finding("real-time throttling", "good", f"real-time threads get {share:.0f}% of each {period / 1e6:g} s")


def _limits() -> Iterator[Finding]:
    priority, locked = rtprio_limit(), memlock_limit()
    if priority:
        yield Finding("real-time priority", "good", f"SCHED_FIFO up to {priority} is permitted")
    else:
        yield Finding("real-time priority", "advice", "SCHED_FIFO is not permitted (RTPRIO limit 0)", LIMITS)
    if locked is None:
        yield Finding("locked memory", "good", "without limit")
    else:
        yield Finding("locked memory", "advice", f"at most {locked // 1024} KiB (MEMLOCK limit)", LIMITS)


def _isolated(root: Path) -> Iterator[Finding]:
    cpus = _text(root / "sys/devices/system/cpu/isolated")
    if cpus:
        yield Finding("isolated CPUs", "good", f"{cpus}: name them by --cpus")
    elif cpus is not None:
        yield Finding("isolated CPUs", "good", "none")


def _power_mode(root: Path) -> Iterator[Finding]:
    """Of a Jetson: nvpmodel writes its choice there. Mode 0 is the one without limits on most boards."""
    if not (root / "etc/nv_tegra_release").exists():
        return
    mode = (_text(root / "var/lib/nvpmodel/status") or "").removeprefix("pmode:")
    if not mode.isdigit():
        yield Finding("power mode", "advice", "not told by nvpmodel", "`sudo nvpmodel -q` shows it")
    elif int(mode) == 0:
        yield Finding("power mode", "good", "0")
    else:
        yield Finding(
            "power mode", "advice", f"{int(mode)}: clocks are limited", "`sudo nvpmodel -m 0 && sudo jetson_clocks`"
        )


def _text(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text().strip()
    return None


def _number(path: Path) -> int | None:
    with suppress(TypeError, ValueError):
        return int(_text(path) or "")
    return None
