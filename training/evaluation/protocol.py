"""Named evaluation protocols: fixed tasks, seeds and groups of tasks, so that a score means the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hyt.simulation import mt50, seeds
from hyt.training.evaluation.summary import Count, Group, count


@dataclass(frozen=True)
class Protocol:
    """Tasks by the name of their group, and the seeds of each task; the score is the mean over the groups' rates."""

    groups: Mapping[str, Sequence[str]]
    seeds: range

    @property
    def tasks(self) -> list[str]:
        """All tasks, in the order of their groups."""
        return [task for tasks in self.groups.values() for task in tasks]

    def counts(self, result: Group) -> dict[str, Count]:
        """Counts by group."""
        return {
            name: count([record for record in result.records if record.task in tasks])
            for name, tasks in self.groups.items()
        }

    def score(self, result: Group) -> float:
        """In [0, 1]."""
        rates = [value.rate for value in self.counts(result).values()]
        return sum(rates) / len(rates)


PROTOCOLS: dict[str, Protocol] = {
    # LeRobot's own first seed is among those that our demonstrations are collected on, hence the held-out ones.
    "lerobot-mt50": Protocol(
        {name: list(tasks) for name, tasks in mt50.GROUPS.items()}, seeds.HELD_OUT[: mt50.EPISODES]
    )
}
