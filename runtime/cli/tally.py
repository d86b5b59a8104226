"""Counts the episode that is under way, so that an interrupted drive can report what it has."""

from __future__ import annotations

import time
from collections import defaultdict

from hyt.runtime.listener import Decision, EpisodeResult, Listener, ThoughtProgress


class Tally(Listener):
    """Holds the numbers of an episode from its start until it has ended."""

    def __init__(self) -> None:
        self._seed: int | None = None

    def episode_started(self, seed: int, instruction: str) -> None:
        """Begin to count."""
        self._seed, self._began = seed, time.monotonic()
        self._decisions = self._late = self._thoughts = self._finished = 0
        self._latencies: defaultdict[str, list[float]] = defaultdict(list)

    def decided(self, decision: Decision) -> None:
        """Count a decision."""
        self._decisions += 1
        self._late += decision.outcome.late
        self._thoughts += decision.thought_tokens is not None
        for phase, seconds in decision.latencies.items():
            self._latencies[phase].append(seconds)

    def thought(self, progress: ThoughtProgress) -> None:
        """Count a thought that was finished beside the actions."""
        self._finished += progress.state == "finished"

    def episode_ended(self, result: EpisodeResult) -> None:
        """It has a result of its own now."""
        self._seed = None

    def unfinished(self) -> EpisodeResult | None:
        """The episode that has not ended; None when there is none."""
        if self._seed is None:
            return None
        seconds = time.monotonic() - self._began
        latencies = dict(self._latencies)
        return EpisodeResult(
            self._seed, False, self._decisions, self._late, seconds, latencies, self._thoughts, self._finished
        )
