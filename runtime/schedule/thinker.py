"""Thoughts beside the actions: begun where they are asked for and allowed, written in the slack, published.

An open thought keeps the observation that it began with, whatever is acted on meanwhile, and goes on in the slack of
the next turn. Only the loop's own thread computes, so a thought never delays an action by more than the step it is in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hyt.errors import InputError
from hyt.runtime.contract import Contract
from hyt.runtime.listener import LimiterState, Listener, ThoughtProgress
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy, require_gate
from hyt.runtime.schedule.budget import Estimate
from hyt.runtime.schedule.holder import Holder
from hyt.runtime.schedule.limiter import Limiter
from hyt.runtime.schedule.options import Thinking
from hyt.runtime.schedule.trigger import Trigger

SLICE = 0.02
"""Seconds of writing after which listeners hear of it and a stop is looked for."""


@dataclass(frozen=True)
class Turn:
    """A decision whose chunk is on its way.

    tick:      the firmware's tick of its observation
    observed:  and its `time.monotonic()` in seconds
    probability: what the gate said of it; None where it was not asked
    demanded:  a user asked for a thought
    following: a user's text is followed: about it no policy thinks
    now:       the robot's time in seconds, for the limits
    until:     `time.monotonic()` before which the machine is given back; infinity where the robot waits
    """

    index: int
    observation: Observation
    tick: int
    observed: float
    probability: float | None
    demanded: bool
    following: bool
    now: float
    until: float


class _Open:
    """The thought that is being written."""

    def __init__(self, number: int, turn: Turn) -> None:
        self.number, self.turn = number, turn
        self.text, self.ids = "", np.empty(0, np.int32)
        self.seconds = 0.0

    def progress(self, state: Literal["writing", "finished", "cut", "dropped"]) -> ThoughtProgress:
        turn = self.turn
        return ThoughtProgress(
            self.number, turn.index, turn.tick, turn.observed, self.text, len(self.ids), self.seconds, state, self.ids
        )


class Thinker:
    """Thinks for one episode of one policy. `stopped` says whether to give up in the middle of a thought."""

    def __init__(
        self, policy: Policy, thinking: Thinking, listeners: Sequence[Listener], stopped: Callable[[], bool]
    ) -> None:
        self._conditions = thinking.condition
        self.holder = Holder(thinking.hold if thinking.condition else 0)
        self.finished = 0
        self._policy, self._listeners, self._stopped = policy, listeners, stopped
        self._limiter = Limiter(thinking.limits)
        self._trigger = Trigger(thinking, _threshold(thinking, policy.contract))
        self._able = policy.contract.modalities.think is not None
        if not self._able and (thinking.when != "never" or thinking.condition):
            raise InputError(
                f"policy {policy.contract.name!r}",
                expected="one that was trained to think",
                received="one that was not",
                remedy="think never",
            )
        self._open: _Open | None = None
        self._number = 0
        self._beginning, self._step = Estimate(), Estimate()  # of a thought with its first token; of a token

    def rehearse(self, observation: Observation) -> tuple[str, NDArray[np.int32]] | None:
        """Measure a beginning and a step, before anything depends on them.

        Returns a whole thought to act behind, where that is what thoughts are for: such actions take longer.
        """
        if not self._able:
            return None
        began = time.monotonic()
        self._policy.think(observation, tokens=1)
        begun = time.monotonic()
        thought = self._policy.resume(tokens=1)
        self._beginning.add(begun - began)
        self._step.add(time.monotonic() - begun)
        if not self._conditions:
            return None
        thought = self._policy.resume()
        return thought.text, thought.tokens

    def take(self, turn: Turn) -> None:
        """Spend what is left of a turn on thoughts, and tell the listeners."""
        if not self._able:
            return
        if turn.following:
            self.drop(turn.now)
            self.holder.drop()
        self._trigger.decided(turn.index, turn.now, turn.probability, turn.demanded)
        waiting_for = "a followed text" if turn.following else self._write(turn)
        state = LimiterState(*self._limiter.levels(turn.now), waiting_for)
        for listener in self._listeners:
            listener.limited(state)

    def drop(self, now: float) -> None:
        """Give the open thought up, at `now` of the robot's time."""
        if self._open is not None:
            self._end(self._open, "dropped", now)

    def _write(self, turn: Turn) -> str:
        """Begin or go on; returns what a thought waits for, empty while one is being written."""
        if self._open is None:
            if not self._trigger.asked:
                return self._trigger.waiting_for
            if refusal := self._limiter.refusal(turn.now):
                return refusal
            if turn.until - time.monotonic() < self._beginning.upper:
                return "slack"
            self._limiter.begin(turn.now)
            self._trigger.begun()
            self._number += 1
            self._open = _Open(self._number, turn)
            self._spend(turn, 1, turn.until)
        while self._open is not None and not self._stopped():
            tokens, seconds = self._allowed(turn.now)
            if tokens < 1:
                return "tokens a second"
            now = time.monotonic()
            if now + self._step.upper >= turn.until:
                break
            until = min(turn.until, now + seconds)
            if not self._spend(turn, tokens, until):  # no step fits
                if until < turn.until:
                    self._end(self._open, "cut", turn.now)
                break
        return "" if self._open is not None else self._trigger.waiting_for

    def _allowed(self, now: float) -> tuple[int, float]:
        """Tokens of the next slice, and the seconds that the open thought may still take."""
        left, seconds = self._limiter.left()
        tokens = [max(int(SLICE / self._step.upper), 1) if self._step.upper else 1]
        tokens += [number for number in (left, self._limiter.room(now)) if number is not None]
        return min(tokens), seconds

    def _spend(self, turn: Turn, tokens: int, until: float) -> int:
        """Write a slice of the open thought and account for it; returns the steps that it took."""
        thought = self._open
        assert thought is not None
        began = time.monotonic()
        if thought.seconds:
            written = self._policy.resume(until, tokens=tokens)
        else:
            written = self._policy.think(turn.observation, until, tokens=tokens)
        seconds = time.monotonic() - began
        steps = len(written.tokens) - len(thought.ids) + written.finished
        if steps:
            estimate = self._step if len(thought.ids) else self._beginning
            estimate.add(seconds / steps)
        thought.text, thought.ids = written.text, written.tokens
        thought.seconds += seconds
        self._limiter.spend(steps, seconds, turn.now)
        left, seconds_left = self._limiter.left()
        if written.finished:
            self.finished += 1
            self.holder.hold(written.text, written.tokens)
            self._end(thought, "finished", turn.now)
        elif left == 0 or seconds_left <= 0:
            self._end(thought, "cut", turn.now)
        elif steps:
            self._tell(thought.progress("writing"))
        return steps

    def _end(self, thought: _Open, state: Literal["finished", "cut", "dropped"], now: float) -> None:
        self._open = None
        self._limiter.end(now)
        self._tell(thought.progress(state))

    def _tell(self, progress: ThoughtProgress) -> None:
        for listener in self._listeners:
            listener.thought(progress)


def _threshold(thinking: Thinking, contract: Contract) -> float:
    if thinking.when != "gate":
        return math.inf
    return require_gate(contract).threshold if thinking.threshold is None else thinking.threshold
