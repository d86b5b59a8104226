"""Real time on Linux, where asked for: SCHED_FIFO, pages that stay in memory, and the CPUs to run on.

    with RealTime(priority=50, cpus=frozenset({2, 3})) as real_time:
        policy = load(...)         # its threads inherit priority and CPUs
        with real_time.settled():  # memory is locked; threads that start from now on are ordinary ones
            ...

This thread (the control loop's) and the core's, which wait for each other at every operator, run at `priority`; the
link's thread one above, so that no computation can delay a heartbeat (`firmware_bridge/priority.py`); cameras, recorder
and views as ordinary threads. All of them stay on `cpus`, so there must be one more CPU than threads of the core.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from hyt.errors import HytError, InputError

PRIORITIES = (1, 98)  # 99 is the kernel's own, and the link's thread is one above
DEFAULT_PRIORITY = 50
MCL_CURRENT, MCL_FUTURE = 1, 2  # of sys/mman.h
CAP_IPC_LOCK, CAP_SYS_NICE = 14, 23  # of linux/capability.h
STATUS = Path("/proc/self/status")
REMEDY = (
    "put `@realtime - rtprio 99` and `@realtime - memlock unlimited` into /etc/security/limits.d/hyt.conf, join the "
    "group realtime and log in again; in a systemd unit LimitRTPRIO=99 and LimitMEMLOCK=infinity"
)


class RealTime:
    """Real-time scheduling while it is entered; with a `priority` of None and no `cpus` it changes nothing.

    Raises InputError for CPUs that are not there, HytError where the system does not permit it: nothing is half done.
    """

    def __init__(self, priority: int | None = None, cpus: frozenset[int] = frozenset()) -> None:
        if priority is not None and not PRIORITIES[0] <= priority <= PRIORITIES[1]:
            raise InputError("--fifo", expected=f"{PRIORITIES[0]} to {PRIORITIES[1]}", received=str(priority))
        there = os.sched_getaffinity(0)
        if not cpus <= there:
            raise InputError("--cpus", expected=f"some of {cpu_list(there)}", received=cpu_list(cpus))
        self.priority, self.cpus = priority, cpus
        self._before = (os.sched_getscheduler(0), os.sched_getparam(0), there)

    def threads(self, wanted: int) -> int:
        """How many threads the core may have of the `wanted` ones (0: its own choice, which knows of no pinning).

        Raises InputError for more than there are CPUs beside the link's.
        """
        most = max(1, len(self.cpus) - 1)
        if self.cpus and wanted > most:
            raise InputError(
                "--threads",
                expected=f"at most {most} on CPUs {cpu_list(self.cpus)}: one is for link and cameras",
                received=str(wanted),
            )
        return wanted or (most if self.cpus else 0)

    def __enter__(self) -> RealTime:
        if self.priority is not None:
            require_permission(self.priority)
        if self.cpus:
            os.sched_setaffinity(0, self.cpus)
        if self.priority is not None:
            _schedule(os.SCHED_FIFO, self.priority)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        policy, parameters, cpus = self._before
        if self.priority is not None:
            os.sched_setscheduler(0, policy, parameters)
        if self.cpus:
            os.sched_setaffinity(0, cpus)

    @contextmanager
    def settled(self) -> Iterator[None]:
        """All that acting needs is loaded: in this block its pages stay in memory, and new threads are ordinary."""
        if self.priority is None:
            yield
            return
        _schedule(os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, self.priority)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
            raise HytError("mlockall", received=os.strerror(ctypes.get_errno()), remedy=REMEDY)
        try:
            yield
        finally:
            libc.munlockall()


def require_permission(priority: int) -> None:
    """Raises HytError when this process may not run at SCHED_FIFO `priority`, or may not lock its memory."""
    limit = rtprio_limit()
    if limit < priority:
        raise HytError(
            f"SCHED_FIFO {priority}", expected="the right to it", received=f"an RTPRIO limit of {limit}", remedy=REMEDY
        )
    # A finite limit would not refuse now: the first allocation beyond it would fail, in the middle of a run.
    if (locked := memlock_limit()) is not None:
        received = f"a MEMLOCK limit of {locked // 2**20} MiB"
        raise HytError("locking memory", expected="no limit to it", received=received, remedy=REMEDY)


def rtprio_limit() -> int:
    """The highest SCHED_FIFO priority that this process may take; 0 for none."""
    return 99 if _capable(CAP_SYS_NICE) else min(99, resource.getrlimit(resource.RLIMIT_RTPRIO)[0] % 2**32)


def memlock_limit() -> int | None:
    """How many bytes this process may lock; None for all."""
    soft = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return None if soft == resource.RLIM_INFINITY or _capable(CAP_IPC_LOCK) else soft


def read_cpus(text: str) -> frozenset[int]:
    """CPUs of a list as the kernel writes it, e.g. `2,4-6`; raises ValueError for another text."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers or numbers[0] < 0 or numbers[-1] > 4095:
            raise ValueError(f"no CPUs: {part!r}")
        cpus.update(numbers)
    return frozenset(cpus)


def cpu_list(cpus: frozenset[int] | set[int]) -> str:
    """The CPUs as text, e.g. `2,4,5`."""
    return ",".join(map(str, sorted(cpus)))


def _schedule(policy: int, priority: int) -> None:
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError as problem:  # in a container or a cgroup without a share of real time, whatever the limits say
        received = os.strerror(problem.errno or errno.EPERM)
        raise HytError(f"SCHED_FIFO {priority}", expected="the right to it", received=received, remedy=REMEDY) from None


def _capable(capability: int) -> bool:
    """Whether this process has a capability, whoever it belongs to."""
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    return bool(int(fields.get("CapEff", "0"), 16) >> capability & 1)
