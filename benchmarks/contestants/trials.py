"""Which of an engine's settings is its fastest: each is tried alone, and what was found can be kept in a file."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contestants.case import Case
from contestants.process import Process, ProcessEnded

TRIALS, TRIAL_SECONDS = 5, 10.0
FAR, LONG = 1.5, 1.0
CHOICES: dict[str, dict[str, tuple[Any, ...]]] = {
    "llama.cpp": {"flash": ("on", "off"), "repack": (True, False), "cache": ("f16", "f32")},
    "onnxruntime": {"spinning": (True, False)},
    "PyTorch float32": {},
}
"""What is tried of each engine, beside the number of threads."""
Settings = dict[str, Any]


@dataclass(frozen=True)
class Entrant:
    """An engine, what it is asked (`act`, `think`, `whole`; the first in trials too), and settings that stay."""

    engine: str
    tasks: tuple[str, ...]
    fixed: Settings = field(default_factory=dict)


class Trials:
    """Median seconds of an act by engine and settings, null where the engine ended of itself; with a file those of
    earlier runs too, so that a long search can be taken in pieces."""

    def __init__(self, file: Path | None, say: Callable[[str], None]) -> None:
        self._file, self._say = file, say
        self._seconds: dict[str, float | None] = json.loads(file.read_text()) if file and file.exists() else {}

    def best(self, entrant: Entrant, case: Case, threads: int, prefixes: list[list[int]]) -> Settings:
        """The settings with the fastest answer; `prefixes` are those of the trials, the first warms up."""
        names = CHOICES[entrant.engine]
        tried: list[tuple[float, Settings]] = []
        for number, *values in itertools.product(range(threads, 0, -1), *names.values()):
            settings = {"threads": number, **dict(zip(names, values, strict=True)), **entrant.fixed}
            fastest = min((seconds for seconds, _ in tried), default=math.inf)
            seconds = self._try(entrant, case, settings, prefixes, fastest)
            if seconds is not None:
                tried.append((seconds, settings))
        if not tried:
            raise SystemExit(f"{entrant.engine} answers with none of its settings")
        return min(tried, key=lambda one: one[0])[1]

    def of(self, case: Case) -> dict[str, float | None]:
        """All that was tried on a case."""
        return {name: seconds for name, seconds in self._seconds.items() if name.startswith(f"{case.name}: ")}

    def _try(
        self, entrant: Entrant, case: Case, settings: Settings, prefixes: list[list[int]], fastest: float
    ) -> float | None:
        shown = ", ".join(f"{key} {value}" for key, value in settings.items())
        name = f"{case.name}: {entrant.engine} ({shown})"
        if name not in self._seconds:
            try:
                self._seconds[name] = _median(entrant, case, settings, prefixes, fastest)
            except ProcessEnded as ended:
                self._say(f"  {ended}")
                self._seconds[name] = None
            if self._file:
                self._file.write_text(json.dumps(self._seconds, indent=1) + "\n")
        median = self._seconds[name]
        self._say(f"  tried {name}: {'no answer' if median is None else f'{median * 1e3:.2f} ms'}")
        return median


def _median(entrant: Entrant, case: Case, settings: Settings, prefixes: list[list[int]], fastest: float) -> float:
    seconds: list[float] = []
    with Process(entrant.engine, case, settings) as process:
        for prefix in prefixes:
            phases = process.ask(entrant.tasks[0], prefix).seconds
            seconds.append(phases["total"] if "total" in phases else phases["vision"])
            # Long answers need no warming up; one that is beaten by far needs no second.
            if sum(seconds) > TRIAL_SECONDS or seconds[0] > max(FAR * fastest, LONG):
                break
    return statistics.median(seconds[1:] or seconds)
