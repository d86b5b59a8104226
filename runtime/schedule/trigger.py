"""What asks for a thought: every so many decisions, so many times a minute, the gate, or a user."""

from __future__ import annotations

from hyt.runtime.schedule.options import Thinking


class Trigger:
    """Remembers that a thought was asked for until one is begun; a gate's word counts for its own decision alone."""

    def __init__(self, thinking: Thinking, gate_threshold: float) -> None:
        self._thinking, self._threshold = thinking, gate_threshold
        self._due: float | None = None  # of the next thought at a rate
        self._asked = self._gated = False

    @property
    def asked(self) -> bool:
        """Whether a thought is wanted now."""
        return self._asked or self._gated

    @property
    def waiting_for(self) -> str:
        """What will ask for the next thought, in a word or two."""
        waits = {"never": "a request", "every": "its decision", "rate": "its time", "gate": "the gate"}
        return waits[self._thinking.when]

    def decided(self, index: int, now: float, think_probability: float | None, demanded: bool) -> None:
        """Decision `index`, from 1, was made at `now`; the gate judged it, if it was asked; a user may demand one."""
        when = self._thinking.when
        self._gated = when == "gate" and think_probability is not None and think_probability >= self._threshold
        self._asked = self._asked or demanded or (when == "every" and (index - 1) % self._thinking.every == 0)
        if when == "rate":
            interval = 60 / self._thinking.rate
            self._due = now if self._due is None else self._due
            if now >= self._due:
                self._asked = True
                # On the beat, so that turns of the loop do not slow it down; beats that were missed stay missed.
                self._due += interval * max(1, (now - self._due) // interval)

    def begun(self) -> None:
        """A thought has begun."""
        self._asked = self._gated = False
