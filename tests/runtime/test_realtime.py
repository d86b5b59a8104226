"""Real-time scheduling: who runs at which priority on which CPUs, and refusals that say what to do."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hyt.errors import HytError, InputError
from hyt.runtime import realtime
from hyt.runtime.realtime import CAP_IPC_LOCK, CAP_SYS_NICE, RealTime, cpu_list, read_cpus, rtprio_limit

PR_CAPBSET_DROP = 24  # of sys/prctl.h

THREADS = """
import json, os, sys, threading
import hyt
from hyt.firmware_bridge import Link
from hyt.runtime.realtime import RealTime

def tasks():
    return set(map(int, os.listdir("/proc/self/task")))

def of(threads):
    flag = os.SCHED_RESET_ON_FORK
    return [[os.sched_getscheduler(t) & ~flag, os.sched_getparam(t).sched_priority, sorted(os.sched_getaffinity(t))]
            for t in sorted(threads)]

cpus = frozenset(json.loads(sys.argv[2]))
with RealTime(40, cpus) as real_time:
    start = tasks()
    with hyt.load(sys.argv[1], threads=2):
        pool = tasks() - start
        with real_time.settled():
            with Link("virtual:"):
                link = tasks() - start - pool
                end = threading.Event()
                ordinary = threading.Thread(target=end.wait)
                ordinary.start()
                said = {"loop": of([os.getpid()]), "core": of(pool), "link": of(link)}
                said["others"] = of([ordinary.native_id])
                end.set()
                ordinary.join()
            locked = [line for line in open("/proc/self/status") if line.startswith("VmLck")][0]
            said["locked KiB"] = int(locked.split()[1])
said["after"] = of([os.getpid()])
print(json.dumps(said))
"""


def without_rights() -> None:
    """Before a program starts: takes its rights to real time and locked memory, those of root too."""
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (2**20, 2**20))
    for capability in (CAP_SYS_NICE, CAP_IPC_LOCK):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def test_the_loop_and_the_core_run_at_the_priority_the_link_above_it_and_the_rest_below(tiny_bundle: Path) -> None:
    if rtprio_limit() < 41:  # not permitted here: then it is refused, and the line is that of the test below
        with pytest.raises(Exception, match="SCHED_FIFO 40; expected the right to it"), RealTime(40):
            pass
        return
    cpus = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-c", THREADS, str(tiny_bundle), json.dumps(cpus)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    fifo, other = int(os.SCHED_FIFO), int(os.SCHED_OTHER)
    assert said["loop"] == [[fifo, 40, cpus]]
    assert said["core"]
    assert all(thread == [fifo, 40, cpus] for thread in said["core"])
    assert said["link"] == [[fifo, 41, cpus]]
    assert said["others"] == [[other, 0, cpus]]
    assert said["locked KiB"] > 10_000
    assert said["after"] == [[other, 0, cpus]]


def test_what_the_system_does_not_permit_is_refused_before_anything_is_loaded() -> None:
    command = [sys.executable, "-m", "hyt.runtime.cli", "drive", "none.hyt", "--robot", "serial:none.toml", "--fifo"]
    done = subprocess.run(command, preexec_fn=without_rights, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "hyt-run: SCHED_FIFO 50; expected the right to it; received an RTPRIO limit of 0; put `@realtime - rtprio 99` "
        "and `@realtime - memlock unlimited` into /etc/security/limits.d/hyt.conf, join the group realtime and log in "
        "again; in a systemd unit LimitRTPRIO=99 and LimitMEMLOCK=infinity\n"
    )


def test_a_limit_on_locked_memory_is_refused_before_it_strikes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime, "rtprio_limit", lambda: 99)
    monkeypatch.setattr(realtime, "memlock_limit", lambda: 8 * 2**20)
    with pytest.raises(HytError, match="locking memory; expected no limit to it; received a MEMLOCK limit of 8 MiB"):
        realtime.require_permission(50)


def test_cpus_are_read_as_the_kernel_writes_them() -> None:
    assert read_cpus("2,4-6") == {2, 4, 5, 6}
    assert cpu_list(read_cpus("7, 0-1")) == "0,1,7"
    for text in ("", "two", "3-1", "-1", "0-99999999"):
        with pytest.raises(ValueError, match=r"CPUs|invalid literal"):
            read_cpus(text)


def test_cpus_that_are_not_there_and_priorities_of_the_kernel_are_refused() -> None:
    with pytest.raises(InputError, match=r"--cpus; expected some of 0.*; received 4000"):
        RealTime(None, frozenset({4000}))
    for priority in (0, 99, -1):
        with pytest.raises(InputError, match="--fifo; expected 1 to 98"):
            RealTime(priority)


def test_one_cpu_is_left_beside_the_threads_of_the_core() -> None:
    there = sorted(os.sched_getaffinity(0))
    all_of_them = RealTime(None, frozenset(there))
    most = max(1, len(there) - 1)
    assert all_of_them.threads(0) == most
    assert RealTime().threads(0) == 0
    assert RealTime().threads(64) == 64
    with pytest.raises(InputError, match=rf"--threads; expected at most {most} on CPUs .*; received {len(there) + 1}"):
        all_of_them.threads(len(there) + 1)


def test_without_a_wish_nothing_changes() -> None:
    before = (os.sched_getscheduler(0), os.sched_getaffinity(0))
    with RealTime() as real_time, real_time.settled():
        assert (os.sched_getscheduler(0), os.sched_getaffinity(0)) == before
