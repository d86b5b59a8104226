"""A contestant in a process of its own, so that none's threads, caches or libraries meet another's.

As a program it reads one JSON request a line (the first opens the engine) and writes one JSON answer a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from contestants.case import Answer, Case, Contestant


class ProcessEnded(SystemExit):
    """A contestant ended of itself; uncaught, it ends the benchmark with its message."""


class Process:
    """One contestant, started and warm; `settings` as its class says."""

    def __init__(self, engine: str, case: Case, settings: dict[str, Any]) -> None:
        self.engine, self.settings = engine, settings
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        environment.pop("OMP_NUM_THREADS", None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "contestants.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._ask({"engine": engine, "case": case.as_dict(), "settings": settings})

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    @property
    def name(self) -> str:
        """The engine and what was set."""
        return f"{self.engine} ({', '.join(f'{key} {value}' for key, value in self.settings.items())})"

    def ask(self, task: str, prefix: list[int]) -> Answer:
        """Do one task: `act`, `think` or `whole`."""
        return Answer(**self._ask({"task": task, "prefix": prefix}))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ProcessEnded(f"{self.name} ended with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _open(engine: str, case: Case, settings: dict[str, Any]) -> Contestant:
    if engine == "ours":
        from contestants.ours import Ours

        return Ours(case, **settings)
    if engine == "llama.cpp":
        from contestants.llama import Llama

        return Llama(case, **settings)
    if engine == "onnxruntime":
        from contestants.onnxruntime import OnnxRuntime

        return OnnxRuntime(case, **settings)
    from contestants.pytorch import PyTorch

    return PyTorch(case, **settings)


def main() -> None:
    """Open what the first line asks for, then answer until the lines end."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints goes elsewhere
    first = json.loads(sys.stdin.readline())
    case = Case(**first["case"])
    contestant = _open(first["engine"], case, first["settings"])
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        task = {"act": contestant.act, "think": contestant.think, "whole": contestant.whole}[request["task"]]
        print(json.dumps(asdict(task(request["prefix"]))), file=answers, flush=True)


if __name__ == "__main__":
    main()
