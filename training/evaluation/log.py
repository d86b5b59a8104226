"""The log of an evaluation: one JSON object a line and episode, appended as it ends.

A killed evaluation leaves whole lines and at most one torn one, which is dropped when the log is read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

from hyt.errors import InputError


@dataclass(frozen=True)
class Job:
    """One episode to run; what it is called, and with it what stands in the log, is `key`.

    policy: the identity of the entry; bundle: its folder; backend: the engine that computes it.
    """

    policy: str
    bundle: str
    mode: str
    task: str
    seed: int
    backend: str = "core"

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Equal for the same episode of the same policy."""
        return self.policy, self.mode, self.task, self.seed


@dataclass(frozen=True)
class Record:
    """How one episode went.

    decisions:      number of decisions
    thought_tokens: of each decision that thought, without the end of the thought
    latency_ms:     by phase of `hyt.runtime.loop.Decision`, one value a decision
    moved:          midway modes: 1 the way that was asked for, -1 the other way, 0 neither
    refusal:        why the policy could not be asked; such an episode is not solved
    """

    policy: str
    mode: str
    task: str
    seed: int
    success: bool
    decisions: int = 0
    late_chunks: int = 0
    seconds: float = 0.0
    thought_tokens: list[int] = field(default_factory=list)
    latency_ms: dict[str, list[float]] = field(default_factory=dict)
    moved: int | None = None
    refusal: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Equal to the key of its job."""
        return self.policy, self.mode, self.task, self.seed


class Log:
    """Records by key, those of earlier runs included; `add` appends one line to the file, when there is one."""

    def __init__(self, file: TextIO | None, records: dict[tuple[str, str, str, int], Record]) -> None:
        self._file = file
        self._records = records

    def get(self, job: Job) -> Record | None:
        """The record of a job that has been run."""
        return self._records.get(job.key)

    def add(self, record: Record) -> None:
        """Keep a record; when this returns, its line outlives this process."""
        self._records[record.key] = record
        if self._file is not None:
            self._file.write(json.dumps(asdict(record), separators=(",", ":")) + "\n")
            self._file.flush()


@contextmanager
def open_log(path: Path | None) -> Iterator[Log]:
    """Open or begin a log; None keeps the records in memory alone. Raises InputError for a file that is no log."""
    if path is None:
        yield Log(None, {})
        return
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        records, whole = _read(file, path)
        file.truncate(whole)
        yield Log(file, records)


def _read(file: TextIO, path: Path) -> tuple[dict[tuple[str, str, str, int], Record], int]:
    """The records of a log, and the bytes up to the end of its last whole line."""
    records: dict[tuple[str, str, str, int], Record] = {}
    whole = 0
    names = {f.name for f in fields(Record)}
    for number, line in enumerate(file, 1):
        if not line.endswith("\n"):
            break
        try:
            data: Any = json.loads(line)
            if not isinstance(data, dict) or not set(data) <= names:
                raise ValueError("other fields")
            record = Record(**data)
        except (ValueError, TypeError) as problem:
            raise InputError(
                f"log {path}, line {number}",
                expected="an episode of hyt-train evaluate",
                received=str(problem)[:100],
                remedy="name another file, or remove this one",
            ) from None
        records[record.key] = record
        whole += len(line.encode())
    return records, whole
