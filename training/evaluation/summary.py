"""What an evaluation found, in numbers: successes and their intervals, latencies, paired comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hyt.runtime.statistics import Summary, paired_difference, summarise, wilson_interval
from hyt.training.evaluation.log import Record


@dataclass(frozen=True)
class Count:
    """Solved episodes of some."""

    solved: int
    episodes: int

    @property
    def rate(self) -> float:
        """In [0, 1]; 0 without episodes."""
        return self.solved / self.episodes if self.episodes else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson interval, in [0, 1]."""
        return wilson_interval(self.solved, self.episodes)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        low, high = self.interval
        return {"solved": self.solved, "episodes": self.episodes, "wilson_95": [round(low, 4), round(high, 4)]}


@dataclass(frozen=True)
class Thinking:
    """How much a policy thought, and what that cost, over the decisions of a mode.

    decisions, thoughts: number of decisions, and of those that thought
    tokens:              mean tokens of a thought, its end not among them
    token_ms:            mean milliseconds a token, the end of the thought counted as one
    """

    decisions: int
    thoughts: int
    tokens: float
    token_ms: float


@dataclass(frozen=True)
class Group:
    """One policy in one mode: its episodes by task."""

    name: str
    mode: str
    records: Sequence[Record]

    def tasks(self) -> dict[str, Count]:
        """Counts by task, in the order of the records."""
        names = dict.fromkeys(record.task for record in self.records)
        return {name: count([r for r in self.records if r.task == name]) for name in names}

    @property
    def total(self) -> Count:
        """Over all episodes of all tasks."""
        return count(self.records)

    @property
    def mean(self) -> float:
        """Mean over the tasks' rates, in [0, 1]; each task weighs the same."""
        rates = [task.rate for task in self.tasks().values()]
        return sum(rates) / len(rates) if rates else 0.0

    def latency(self, phase: str) -> Summary | None:
        """Of all decisions (of thoughts: those that thought); None where there were none of this phase."""
        values = [ms / 1e3 for record in self.records for ms in record.latency_ms.get(phase, [])]
        if phase == "thought":
            values = [value for value in values if value > 0]
        return summarise(values) if values else None

    @property
    def thinking(self) -> Thinking:
        """Over all decisions."""
        tokens = [n for record in self.records for n in record.thought_tokens]
        spent = sum(ms for record in self.records for ms in record.latency_ms.get("thought", []))
        return Thinking(
            decisions=sum(record.decisions for record in self.records),
            thoughts=len(tokens),
            tokens=sum(tokens) / len(tokens) if tokens else 0.0,
            token_ms=spent / (sum(tokens) + len(tokens)) if tokens else 0.0,
        )

    def refusals(self) -> dict[str, int]:
        """Episodes by the reason for which the policy could not be asked."""
        reasons = [record.refusal for record in self.records if record.refusal]
        return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}

    def moved(self) -> dict[str, int]:
        """In a midway mode: episodes by the way in which the thing moved; empty in others."""
        ways = [record.moved for record in self.records if record.moved is not None]
        return {name: ways.count(way) for name, way in (("asked", 1), ("other", -1), ("neither", 0))} if ways else {}

    def as_dict(self) -> dict[str, Any]:
        """JSON values; latencies in milliseconds."""
        phases = dict.fromkeys(phase for record in self.records for phase in record.latency_ms)
        latencies = {phase: self.latency(phase) for phase in phases}
        data: dict[str, Any] = {
            "policy": self.name,
            "mode": self.mode,
            "tasks": {name: task.as_dict() for name, task in self.tasks().items()},
            "mean": round(self.mean, 4),
            "total": self.total.as_dict(),
            "latency_ms": {phase: value.as_dict() for phase, value in latencies.items() if value is not None},
            "thinking": vars(self.thinking),
            "refusals": self.refusals(),
            "seconds_per_episode": round(sum(r.seconds for r in self.records) / max(len(self.records), 1), 3),
        }
        if moved := self.moved():
            data["moved"] = moved
        return data


@dataclass(frozen=True)
class Comparison:
    """Two policies in one mode on the same episodes; `loss` and its 95% interval are points of the first's rate."""

    baseline: str
    candidate: str
    mode: str
    counts: tuple[int, int, int, int]
    loss: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """JSON values; counts: solved by both, only by the baseline, only by the candidate, by neither."""
        return {**vars(self), "counts": list(self.counts), "episodes": sum(self.counts)}


def count(records: Sequence[Record]) -> Count:
    """Solved and all."""
    return Count(sum(record.success for record in records), len(records))


def compare(baseline: Group, candidate: Group) -> Comparison:
    """Compare episode by episode; raises ValueError unless both hold the same tasks and seeds."""
    first = {(r.task, r.seed): r.success for r in baseline.records}
    second = {(r.task, r.seed): r.success for r in candidate.records}
    if first.keys() != second.keys():
        raise ValueError("expected the same tasks and seeds in both groups")
    pairs = [(success, second[key]) for key, success in first.items()]
    both, only_first = pairs.count((True, True)), pairs.count((True, False))
    only_second, neither = pairs.count((False, True)), pairs.count((False, False))
    loss, low, high = (round(100 * value, 2) for value in paired_difference(both, only_first, only_second, neither))
    return Comparison(
        baseline.name, candidate.name, candidate.mode, (both, only_first, only_second, neither), loss, low, high
    )


def compare_all(groups: Sequence[Group]) -> list[Comparison]:
    """Each later policy with the first, in each mode."""
    comparisons = []
    for mode in dict.fromkeys(group.mode for group in groups if group.records):
        baseline, *others = [group for group in groups if group.mode == mode]
        comparisons += [compare(baseline, other) for other in others]
    return comparisons
