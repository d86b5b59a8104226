"""Results of a drive: a table for a person, a dictionary for a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hyt.runtime.listener import EpisodeResult
from hyt.runtime.statistics import Summary, summarise, wilson_interval


@dataclass(frozen=True)
class RobotResult:
    """All episodes of one robot, with the counters of its firmware at the end.

    `unfinished` is the episode that was cut short, which counts neither as solved nor as failed. Of a robot that cannot
    tell (`judged` False) no episode does.
    """

    robot: str
    instruction: str
    modality: str
    episodes: Sequence[EpisodeResult]
    counters: Mapping[str, int]
    unfinished: EpisodeResult | None = None
    judged: bool = True

    @property
    def successes(self) -> int:
        """Number of episodes that were solved."""
        return sum(episode.success for episode in self.episodes)

    @property
    def decisions(self) -> int:
        """Number of decisions over all episodes, the unfinished one included."""
        return sum(episode.decisions for episode in self._driven())

    @property
    def thoughts(self) -> int:
        """Number of decisions that the policy thought about before it acted."""
        return sum(episode.thoughts for episode in self._driven())

    @property
    def finished_thoughts(self) -> int:
        """Number of thoughts that were finished beside the actions."""
        return sum(episode.finished_thoughts for episode in self._driven())

    def latencies(self) -> dict[str, Summary]:
        """Summary of each phase over all decisions of all episodes."""
        driven = self._driven()
        phases = dict.fromkeys(phase for episode in driven for phase in episode.latencies)
        return {phase: summarise([s for e in driven for s in e.latencies.get(phase, [])]) for phase in phases}

    def as_dict(self) -> dict[str, Any]:
        """JSON values: seeds and outcomes per episode, counts, Wilson interval, latencies in ms, firmware counters."""
        low, high = wilson_interval(self.successes, len(self.episodes))
        return {
            "robot": self.robot,
            "instruction": self.instruction,
            "modality": self.modality,
            "episodes": [_episode(episode) for episode in self.episodes],
            "unfinished": _episode(self.unfinished) if self.unfinished is not None else None,
            "count": len(self.episodes),
            "successes": self.successes if self.judged else None,
            "wilson_95": [round(low, 4), round(high, 4)] if self.judged else None,
            "decisions": self.decisions,
            "thoughts": self.thoughts,
            "finished_thoughts": self.finished_thoughts,
            "latency_ms": {phase: summary.as_dict() for phase, summary in self.latencies().items()},
            "firmware": dict(self.counters),
        }

    def _driven(self) -> list[EpisodeResult]:
        return [*self.episodes, *([self.unfinished] if self.unfinished is not None else [])]


def _episode(episode: EpisodeResult) -> dict[str, Any]:
    return {
        "seed": episode.seed,
        "success": episode.success,
        "decisions": episode.decisions,
        "thoughts": episode.thoughts,
        "finished_thoughts": episode.finished_thoughts,
        "late_chunks": episode.late_chunks,
        "seconds": round(episode.seconds, 3),
    }


def results_table(results: Sequence[RobotResult]) -> Table:
    """One row a robot; the latency is the policy's whole answer."""
    modalities = ", ".join(dict.fromkeys(result.modality for result in results))
    table = Table(
        title=f"{modalities}, through the firmware", title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False
    )
    table.add_column("robot", overflow="fold")
    # How often it thought and what that costs on average are the question of a gate alone.
    gated = any(result.modality == "gate" for result in results)
    thinking = ("thought", "mean\nms") if gated else ()
    beside = ("thoughts",) if any(result.finished_thoughts for result in results) else ()
    for name in (
        "solved",
        "95%\nWilson",
        "decisions",
        *thinking,
        *beside,
        "p50\nms",
        "p99\nms",
        "late",
        "ticks",
        "bad\nframes",
    ):
        table.add_column(name, justify="right")
    for result in results:
        low, high = wilson_interval(result.successes, len(result.episodes))
        answer = result.latencies()["policy"]
        table.add_row(
            Text(result.robot.rpartition("/")[2]),
            f"{result.successes}/{len(result.episodes)}" if result.judged else "-",
            f"{100 * low:.0f}-{100 * high:.0f}%" if result.judged else "-",
            str(result.decisions),
            *((f"{result.thoughts / result.decisions:.0%}", f"{answer.mean_ms:.1f}") if gated else ()),
            *((str(result.finished_thoughts),) if beside else ()),
            f"{answer.p50_ms:.1f}",
            f"{answer.p99_ms:.1f}",
            str(sum(episode.late_chunks for episode in result.episodes)),
            str(result.counters.get("ticks", 0)),
            str(result.counters.get("rejected_frames", 0)),
        )
    return table
