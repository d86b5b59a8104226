"""The run as it stands, in one immutable snapshot that the loop's thread swaps and any other reads without a lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hyt.runtime.listener import Decision, EpisodeResult, LimiterState, Listener, ThoughtProgress

KEPT_PERIODS = 240
"""Periods on the timeline."""


@dataclass(frozen=True)
class Period:
    """One turn of the loop on the timeline, in seconds.

    number:   counts through the whole run from 1
    episode:  the episode it belongs to, counted through the whole run from 1
    act:      the policy's answer, a thought before the action not counted
    before:   thinking before the action: the action waited for it
    beside:   thinking in the slack: no action waited for it
    length:   from this turn's due time to the next one's; None of the last
    margin:   see Decision
    values:   the first step of the chunk, in the dimensions' units
    """

    number: int
    episode: int
    act: float
    before: float
    beside: float
    length: float | None
    margin: float | None
    late: bool
    values: tuple[float, ...]


@dataclass(frozen=True)
class Snapshot:
    """All that a view shows, at one moment; `version` differs wherever anything else does.

    episode: of this robot, counted from 1
    thought: the episode's newest, written before the action or beside it; it stays when a decision had none
    over:    why the run has ended; empty as long as it has not
    """

    version: int = 0
    robot: str = ""
    modality: str = ""
    episodes: int = 0
    episode: int = 0
    seed: int = 0
    instruction: str = ""
    decision: Decision | None = None
    thought: ThoughtProgress | None = None
    limiter: LimiterState | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    ended: int = 0
    solved: int = 0
    late: int = 0
    periods: tuple[Period, ...] = ()
    over: str = ""


class RunState(Listener):
    """Listens to a run and holds its newest Snapshot; `now` may be read from any thread.

    The loop's thread makes a few small objects a decision and waits for nobody.
    """

    def __init__(self) -> None:
        self.now = Snapshot()
        self._counters: Callable[[], Mapping[str, int]] = dict
        self._due: float | None = None
        self._episodes = 0

    def robot_opened(
        self, robot: str, *, modality: str, episodes: int, counters: Callable[[], Mapping[str, int]]
    ) -> None:
        """Another robot of the run is about to be driven."""
        self._counters = counters
        self.now = Snapshot(self.now.version + 1, robot, modality, episodes, periods=self.now.periods)

    def over(self, reason: str) -> None:
        """The run has ended."""
        self._swap(over=reason)

    def episode_started(self, seed: int, instruction: str) -> None:
        """Show the new instruction."""
        self._due = None
        self._episodes += 1
        self._swap(seed=seed, instruction=instruction, episode=self.now.ended + 1, decision=None, thought=None)

    def decided(self, decision: Decision) -> None:
        """Show the newest decision, and it on the timeline."""
        now = self.now
        periods = now.periods
        if periods and self._due is not None:
            periods = (*periods[:-1], replace(periods[-1], length=decision.due - self._due))
        self._due = decision.due
        before = decision.latencies.get("thought", 0.0) if decision.thought_tokens is not None else 0.0
        period = Period(
            number=periods[-1].number + 1 if periods else 1,
            episode=self._episodes,
            act=max(decision.latencies.get("policy", 0.0) - before, 0.0),
            before=before,
            beside=0.0,
            length=None,
            margin=decision.margin,
            late=decision.outcome.late,
            values=tuple(decision.chunk.values[0].tolist()),
        )
        self._swap(
            decision=decision,
            thought=now.thought if decision.thought_tokens is None else _whole(decision, now.thought),
            # Counted here, in the loop's thread: the views draw in others, and the robot has one owner.
            counters=self._counters(),
            late=now.late + decision.outcome.late,
            periods=(*periods[1 - KEPT_PERIODS :], period),
        )

    def thought(self, progress: ThoughtProgress) -> None:
        """Show how far the thought has come, and the time it took in this period."""
        now = self.now
        last, periods = now.thought, now.periods
        same = last is not None and last.number == progress.number
        spent = progress.seconds - (last.seconds if last is not None and same else 0.0)
        if periods:
            periods = (*periods[:-1], replace(periods[-1], beside=periods[-1].beside + max(spent, 0.0)))
        self._swap(thought=progress, periods=periods)

    def limited(self, state: LimiterState) -> None:
        """Show what thinking may still spend."""
        self._swap(limiter=state)

    def episode_ended(self, result: EpisodeResult) -> None:
        """Count the episode."""
        self._swap(ended=self.now.ended + 1, solved=self.now.solved + result.success)

    def _swap(self, **changes: object) -> None:
        self.now = replace(self.now, version=self.now.version + 1, **changes)  # type: ignore[arg-type]


def _whole(decision: Decision, last: ThoughtProgress | None) -> ThoughtProgress:
    """A thought that was written before its action, as a thought that has grown to its end."""
    return ThoughtProgress(
        number=1 if last is None else last.number + 1,
        decision=decision.index,
        tick=decision.start_tick,
        observed=decision.began,
        text=decision.text,
        tokens=decision.thought_tokens or 0,
        seconds=decision.latencies.get("thought", 0.0),
        state="finished",
    )
