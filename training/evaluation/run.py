"""Runs the episodes of an evaluation that its log does not hold yet, in parallel processes."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from hyt.errors import HytError
from hyt.training.evaluation.entries import Entry
from hyt.training.evaluation.log import Job, Log, Record
from hyt.training.evaluation.modes import applies
from hyt.training.evaluation.worker import Worker, run_in_process, start_process

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Plan:
    """Every combination of these is one episode, but for modes that a task does not have."""

    entries: Sequence[Entry]
    modes: Sequence[str]
    tasks: Sequence[str]
    seeds: Sequence[int]

    def jobs(self) -> list[Job]:
        """Ordered by task, so that a process opens each robot once."""
        return [
            Job(entry.identity, str(entry.bundle), mode, task, seed, entry.backend)
            for task in self.tasks
            for entry in self.entries
            for mode in self.modes
            if applies(mode, task)
            for seed in self.seeds
        ]


def evaluate(plan: Plan, log: Log, *, workers: int = 2, report: Report | None = None) -> list[Record]:
    """Run what the log lacks and return all records of the plan.

    workers: processes; with one, the episodes run in this process. `report` hears of each task that is done. Raises
    HytError when a process died, and what a worker raises; what has been run until then is in the log.
    """
    jobs = plan.jobs()
    missing = [job for job in jobs if log.get(job) is None]
    left = Counter(job.key[:3] for job in missing)
    for done, record in enumerate(_run(missing, workers), 1):
        log.add(record)
        group = record.key[:3]
        left[group] -= 1
        if report is not None and left[group] == 0:
            report(_progress(plan, log, group, done, len(missing)))
    records = [log.get(job) for job in jobs]
    return [record for record in records if record is not None]


def _run(jobs: Sequence[Job], workers: int) -> Iterator[Record]:
    if workers == 1 or len(jobs) == 1:
        with closing(Worker()) as worker:
            yield from map(worker.run, jobs)
        return
    # Fresh processes: graphics contexts do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=start_process) as pool:
        try:
            yield from _in_flight(pool, jobs, 2 * workers)
        except BrokenProcessPool:
            raise HytError(
                "evaluation",
                expected="its processes to live",
                received="one that died",
                remedy="with --log the same command goes on; fewer --workers need less memory",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _in_flight(pool: ProcessPoolExecutor, jobs: Sequence[Job], most: int) -> Iterator[Record]:
    """Records as they come, with `most` jobs given out at a time: an interrupt then waits for few of them."""
    rest = iter(jobs)
    running: set[Future[Record]] = set()
    while True:
        while len(running) < most and (job := next(rest, None)) is not None:
            running.add(pool.submit(run_in_process, job))
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def _progress(plan: Plan, log: Log, group: tuple[str, str, str], done: int, of: int) -> dict[str, Any]:
    policy, mode, task = group
    entry = next(entry for entry in plan.entries if entry.identity == policy)
    records = [log.get(Job(policy, "", mode, task, seed)) for seed in plan.seeds]
    solved = sum(record.success for record in records if record is not None)
    return {
        "policy": entry.name,
        "mode": mode,
        "task": task,
        "solved": solved,
        "episodes": len(records),
        "done": done,
        "of": of,
    }
