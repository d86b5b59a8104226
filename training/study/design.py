"""What the study compares: methods and the modes they are asked in, data sizes, and the budget that all share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyt.dataset import Dataset
from hyt.errors import InputError
from hyt.simulation.tasks import TASKS
from hyt.training.evaluation.summary import Count, Group

METHODS: dict[str, tuple[str, ...]] = {"vla": ("act",), "ecot": ("think",), "hyt": ("act", "think", "follow")}
"""Modes in which a policy of each method is evaluated: those that it was trained in."""

COMPARISONS = ((("vla", "act"), ("hyt", "act")), (("ecot", "think"), ("hyt", "think")))
"""Pairs of (method, mode): the first is the baseline."""


@dataclass(frozen=True)
class Fit:
    """One policy of the study: a method at a data size (episodes a task)."""

    method: str
    episodes: int

    @property
    def name(self) -> str:
        """Of its checkpoint and its rows."""
        return f"{self.method}-{self.episodes}"


@dataclass(frozen=True)
class Design:
    """The study: every method at every data size, each with the same budget, network, seed and recipe.

    positions: processed token positions of each fit (image, prompt and generated tokens): equal compute
    size:      name of the network in `hyt.training.model.SIZES`
    """

    episodes: tuple[int, ...]
    positions: int
    size: str
    seed: int
    tasks: tuple[str, ...]
    seeds: range

    def fits(self) -> list[Fit]:
        """Small data first."""
        return [Fit(method, episodes) for episodes in sorted(self.episodes) for method in METHODS]

    def evaluations(self) -> int:
        """Episodes of all evaluations."""
        modes = sum(len(modes) for modes in METHODS.values())
        return len(self.episodes) * modes * len(self.tasks) * len(self.seeds)


@dataclass(frozen=True)
class Outcome:
    """A fitted policy: what the fit cost, and its episodes by mode."""

    fit: Fit
    decisions: int
    seconds: float
    groups: tuple[Group, ...]

    def group(self, mode: str) -> Group:
        """The episodes of a mode; raises KeyError for one that was not evaluated."""
        return {group.mode: group for group in self.groups}[mode]


def tasks_of(data: Dataset) -> tuple[str, ...]:
    """Names of the simulated tasks that a dataset holds; raises InputError when it holds none."""
    texts = {episode.task for episode in data.episodes}
    names = tuple(name for name, task in TASKS.items() if task.instructions[0] in texts)
    if not names:
        raise InputError("data", expected="episodes of the simulated arm's tasks", received=", ".join(sorted(texts)))
    return names


def first_episodes(data: Dataset, tasks: Sequence[str], episodes: int) -> Dataset:
    """The experts' first episodes of each task by seed: a smaller choice is part of every larger one.

    Raises InputError when a task has fewer.
    """
    chosen: list[int] = []
    for name in tasks:
        text = TASKS[name].instructions[0]
        found = [
            (episode.seed, position)
            for position, episode in enumerate(data.episodes)
            if episode.task == text and episode.source in ("", "expert")
        ]
        if len(found) < episodes:
            raise InputError(
                f"data of {name}",
                expected=f"at least {episodes} episodes of the expert",
                received=str(len(found)),
                remedy="collect more, or choose smaller --episodes",
            )
        chosen += [position for _, position in sorted(found)[:episodes]]
    return data.select(sorted(chosen))


def by_size(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], dict[int, Count]]:
    """Counts over all tasks by (method, mode), and in each by data size."""
    series: dict[tuple[str, str], dict[int, Count]] = {}
    for method, modes in METHODS.items():
        for mode in modes:
            series[method, mode] = {o.fit.episodes: o.group(mode).total for o in outcomes if o.fit.method == method}
    return series
