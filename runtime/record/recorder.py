"""The listener that records: it hands what it is told to a thread of its own, which compresses and writes it.

In the loop's thread a decision costs one entry in a queue, no copy: observations are read-only. What waits is bounded.
When the disk is full, or slower than the robot for too long, the next report raises RecordingError, so that the run
ends as with any other error: the robot is stopped and disarmed, and what was written until then stays readable.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from types import TracebackType
from typing import Any

from hyt.errors import RecordingError
from hyt.runtime.interpreter import WATCHED, short_turns
from hyt.runtime.listener import Decision, EpisodeResult, LimiterState, Listener, ThoughtProgress
from hyt.runtime.record.container import require_mcap
from hyt.runtime.record.facts import Facts
from hyt.runtime.record.format import SUFFIX, Ending, Run
from hyt.runtime.record.messages import (
    Clock,
    decision_messages,
    ending_messages,
    limiter_message,
    log_message,
    thought_messages,
)
from hyt.runtime.record.writer import EpisodeFile, check_folder
from hyt.runtime.statistics import summarise

WAITING_LIMIT = 256 * 2**20
"""Most bytes of images that may wait for the writer."""

_ITEMS_LIMIT = 10_000
_INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class _Began:
    run: Run
    clock: Clock


_Item = _Began | Decision | ThoughtProgress | LimiterState | Ending


class Recorder(Listener):
    """Writes each episode that it is told of to `folder`, one file an episode; to be used as a context manager.

    Raises OutputExistsError when the folder holds recordings already, MissingDependencyError without the mcap package.
    Leaving the block ends the episode that is under way, with the reason, and waits for the disk: leave it after the
    robot was stopped.
    """

    def __init__(self, folder: Path, facts: Facts) -> None:
        require_mcap()
        check_folder(folder)
        self._folder, self._facts = folder, facts
        self._episode = 0
        self._under_way: _Tally | None = None
        self._waiting: deque[tuple[int, int, _Item | None]] = deque()  # wall clock, bytes, item; None is the end
        self._bytes = 0
        self._most_bytes = 0
        self._spent: deque[float] = deque(maxlen=_ITEMS_LIMIT)  # seconds of the loop, a decision
        self._changed = Condition()
        self._problem: Exception | None = None
        self._thread = Thread(target=self._work, name="hyt recorder", daemon=True)
        self._short_turns = short_turns(WATCHED)

    def __enter__(self) -> Recorder:
        self._short_turns.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:  # whatever waits there already: the end always has its place
            if self._under_way is not None:
                ended = str(value) if isinstance(value, Exception) else _INTERRUPTED
                self._waiting.append((time.time_ns(), 0, self._under_way.ending(ended)))
            self._waiting.append((0, 0, None))
            self._changed.notify_all()
        self._thread.join()
        self._short_turns.__exit__(None, None, None)
        if self._problem is not None and value is None:
            raise self._problem

    def attend(self, robot: str, modality: str) -> None:
        """The episodes to come are of this robot, asked in this modality (act, think, follow or gate)."""
        self._facts.attend(robot, modality)

    def report(self) -> dict[str, Any]:
        """JSON values: the folder, its files, what a decision cost the loop, and most bytes that waited at once."""
        return {
            "folder": str(self._folder),
            "files": sorted(path.name for path in self._folder.glob(f"*{SUFFIX}")),
            "loop_ms": summarise(list(self._spent)).as_dict() if self._spent else None,
            "most_bytes_waiting": self._most_bytes,
        }

    def episode_started(self, seed: int, instruction: str) -> None:
        """Begin a file."""
        self._raise_problem()
        if self._under_way is not None:
            self._put(self._under_way.ending(_INTERRUPTED))
        self._episode += 1
        self._under_way = _Tally()
        now, monotonic = time.time_ns(), time.monotonic()
        self._put(_Began(self._facts.run(self._episode, seed, instruction), Clock(now, monotonic)))

    def decided(self, decision: Decision) -> None:
        """Take a decision."""
        assert self._under_way is not None  # the loop has started an episode
        began = time.perf_counter()
        self._under_way.count(decision)
        self._put(decision, sum(image.nbytes for image in decision.observation.images.values()))
        self._spent.append(time.perf_counter() - began)

    def thought(self, progress: ThoughtProgress) -> None:
        """Take a report of a thought."""
        self._put(progress)

    def limited(self, state: LimiterState) -> None:
        """Take what the limiter says."""
        self._put(state)

    def episode_ended(self, result: EpisodeResult) -> None:
        """End the file."""
        ending = Ending(
            ended="done",
            success=result.success,
            decisions=result.decisions,
            late_chunks=result.late_chunks,
            thoughts=result.thoughts,
            seconds=result.seconds,
        )
        self._under_way = None
        self._put(ending)

    def _put(self, item: _Item, size: int = 0) -> None:
        self._raise_problem()
        with self._changed:
            if self._bytes + size > WAITING_LIMIT or len(self._waiting) >= _ITEMS_LIMIT:
                self._problem = RecordingError(
                    f"recording {self._folder}",
                    expected="a disk and a processor that keep up with the robot",
                    received=f"{self._bytes / 2**20:.0f} MiB that wait to be written",
                    remedy="record to a faster disk, or with fewer or smaller images",
                )
                raise self._problem
            self._bytes += size
            self._most_bytes = max(self._most_bytes, self._bytes)
            self._waiting.append((time.time_ns(), size, item))
            self._changed.notify_all()

    def _raise_problem(self) -> None:
        if self._problem is not None:
            raise self._problem

    def _work(self) -> None:
        """The writer's thread, until the end is taken; after a problem it lets everything go."""
        file: EpisodeFile | None = None
        run: Run | None = None
        clock = Clock(0, 0.0)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                now, size, item = self._waiting.popleft()
            if item is None:
                break
            try:
                if self._problem is not None:
                    continue
                if isinstance(item, _Began):
                    run, clock = item.run, item.clock
                    file = EpisodeFile(self._folder, run)
                    file.write(log_message(now, run.instruction, "instruction"))
                elif file is not None and run is not None:
                    file = _write(file, item, run, clock, now)
            except OSError as problem:
                self._problem = self._refused(problem, file)
            except Exception as problem:  # the loop's thread reports it, whatever it is
                self._problem = problem
            finally:
                with self._changed:
                    self._bytes -= size
        if file is not None:
            file.abandon()

    def _refused(self, problem: OSError, file: EpisodeFile | None) -> RecordingError:
        return RecordingError(
            f"recording {self._folder if file is None else file.path}",
            expected="room to write",
            received=problem.strerror or str(problem),
            remedy="make room; what was written until then can be replayed",
        )


class _Tally:
    """Counts of the episode that is under way, for an ending that the loop does not tell."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._decisions = self._late = self._thoughts = 0

    def count(self, decision: Decision) -> None:
        """Count a decision."""
        self._decisions += 1
        self._late += decision.outcome.late
        self._thoughts += decision.thought_ids is not None

    def ending(self, ended: str) -> Ending:
        """The ending for this reason."""
        seconds = time.monotonic() - self._began
        return Ending(
            ended=ended,
            success=False,
            decisions=self._decisions,
            late_chunks=self._late,
            thoughts=self._thoughts,
            seconds=seconds,
        )


def _write(file: EpisodeFile, item: _Item, run: Run, clock: Clock, now: int) -> EpisodeFile | None:
    """Write the item; None when it ended the file."""
    if isinstance(item, Decision):
        for message in decision_messages(item, run, clock):
            file.write(message)
    elif isinstance(item, ThoughtProgress):
        for message in thought_messages(item, now, clock):
            file.write(message)
    elif isinstance(item, LimiterState):
        file.write(limiter_message(item, now))
    elif isinstance(item, Ending):
        for message in ending_messages(item, now):
            file.write(message)
        file.finish()
        return None
    return file
