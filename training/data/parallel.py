"""Collecting in parallel: seeds of tasks are dealt to fresh processes that stage episodes, then all is packed."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyt.dataset.writer import DatasetWriter
from hyt.errors import DatasetError
from hyt.training.data.arm import ARM, episode_name

PART = 25
"""Seeds in one part of the work: enough that starting the simulator does not count."""

PartReport = dict[str, Any]
Report = Callable[[PartReport], None]


@dataclass(frozen=True)
class Part:
    """Some seeds of one task."""

    task: str
    seeds: tuple[int, ...]


def run_parts(
    job: Callable[[Part], PartReport],
    directory: Path,
    source: str,
    tasks: list[str],
    seeds: range,
    *,
    workers: int,
    report: Report | None,
) -> None:
    """Run `job` over all seeds of all tasks that are not in the dataset yet, then pack; reports each part's result.

    `job` stages an episode, or nothing, for each seed of its part. Raises DatasetError when another collection writes
    to the folder, or when a worker was killed.
    """
    with _alone(directory):
        writer = DatasetWriter(directory, ARM)
        known = writer.names()
        parts = []
        for start in range(0, len(seeds), PART):
            for task in tasks:
                missing = [s for s in seeds[start : start + PART] if episode_name(task, s, source) not in known]
                if missing:
                    parts.append(Part(task, tuple(missing)))
        for result in _results(job, parts, workers):
            if report is not None:
                report(result)
        writer.pack()


def _results(job: Callable[[Part], PartReport], parts: list[Part], workers: int) -> Iterator[PartReport]:
    """Run the parts here or in fresh processes: graphics contexts do not survive a fork."""
    if workers <= 1:
        yield from map(job, parts)
        return
    context = multiprocessing.get_context("spawn")
    pool: Executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupts)
    try:
        for done in as_completed([pool.submit(job, part) for part in parts]):
            yield done.result()
    except BrokenProcessPool:
        raise DatasetError(
            "collection",
            expected="workers that live",
            received="one that was killed",
            remedy="run it again with fewer --workers; it goes on where it was",
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """An interrupt is for the parent, which lets the parts under way end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when the process ends, however it ends."""
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DatasetError(
            f"{directory}",
            expected="a folder that no other collection writes to",
            received="one that is in use",
            remedy="wait for it",
        ) from None
    finally:
        os.close(handle)
