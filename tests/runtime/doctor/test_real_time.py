"""What the doctor says of a computer's timekeeping, from files as a kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyt.runtime.doctor.real_time import check_real_time, lateness, timer_finding


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def found(root: Path) -> dict[str, tuple[str, str]]:
    return {finding.subject: (finding.level, finding.found) for finding in check_real_time(root)}


@pytest.mark.parametrize(
    ("version", "level", "says"),
    [
        ("Linux version 5.15.148-rt-tegra SMP PREEMPT_RT", "good", "PREEMPT_RT"),
        ("Linux version 6.8.0 SMP PREEMPT_DYNAMIC", "good", "PREEMPT_DYNAMIC: no real-time kernel"),
        ("Linux version 5.15.148-tegra SMP PREEMPT", "good", "PREEMPT: no real-time kernel"),
        ("Linux version 6.1.0 SMP", "advice", "not preemptible"),
    ],
)
def test_the_kernels_preemption_model(tmp_path: Path, version: str, level: str, says: str) -> None:
    put(tmp_path, "proc/version", version)
    assert found(tmp_path)["kernel"][0] == level
    assert found(tmp_path)["kernel"][1].startswith(says)


def test_throttling_isolated_cpus_and_limits(tmp_path: Path) -> None:
    put(tmp_path, "proc/sys/kernel/sched_rt_runtime_us", "950000\n")
    put(tmp_path, "proc/sys/kernel/sched_rt_period_us", "1000000\n")
    put(tmp_path, "sys/devices/system/cpu/isolated", "\n")
    well = found(tmp_path)
    assert well["real-time throttling"] == ("good", "real-time threads get 95% of each 1 s")
    assert well["isolated CPUs"] == ("good", "none")
    assert {"real-time priority", "locked memory", "timer"} <= set(well)
    assert "power mode" not in well  # no Jetson
    put(tmp_path, "proc/sys/kernel/sched_rt_runtime_us", "-1\n")
    put(tmp_path, "sys/devices/system/cpu/isolated", "4-5\n")
    other = found(tmp_path)
    assert other["real-time throttling"][0] == "advice"
    assert other["isolated CPUs"] == ("good", "4-5: name them by --cpus")


@pytest.mark.parametrize(("status", "level"), [("pmode:0000", "good"), ("pmode:0002", "advice"), (None, "advice")])
def test_a_jetsons_power_mode(tmp_path: Path, status: str | None, level: str) -> None:
    put(tmp_path, "etc/nv_tegra_release", "# R36 (release)")
    if status is not None:
        put(tmp_path, "var/lib/nvpmodel/status", status)
    assert found(tmp_path)["power mode"][0] == level


def test_the_timer_is_measured_and_judged() -> None:
    late = lateness(0.05)
    assert 1 <= len(late) <= 51
    assert min(late) >= 0
    assert timer_finding([0.0001] * 1000).level == "good"
    assert timer_finding([0.0001] * 999 + [0.006]).level == "advice"
    assert "wakes up 1.00 ms late at p99, 1.00 ms at most, in 100 periods" in timer_finding([0.001] * 100).found
