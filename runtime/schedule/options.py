"""What a user decides about the loop's time: its period, seams between chunks, when to think and what for."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from hyt.errors import InputError
from hyt.runtime.contract import Action
from hyt.runtime.schedule.limiter import Limits

When = Literal["never", "every", "rate", "gate"]
"""What asks for thoughts beside the actions: nothing (but a user, by `Controls.think`), a number of decisions, a number
a minute, or the policy's gate."""


@dataclass(frozen=True)
class Thinking:
    """When to think beside the actions, and what finished thoughts are used for.

    every:     with when "every": a thought each so many decisions
    rate:      with when "rate": thoughts a minute, evenly spread
    threshold: with when "gate": ask for a thought from this probability on; None for the policy's own
    condition: act behind the thought that was finished last, read again with each new observation, in place of act
    hold:      for so many decisions at most
    """

    when: When = "never"
    every: int = 1
    rate: float = math.inf
    threshold: float | None = None
    limits: Limits = field(default_factory=Limits)
    condition: bool = False
    hold: int = 10

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError("every", expected="at least 1 decision", received=str(self.every))
        if not self.rate > 0:
            raise InputError("rate", expected="thoughts a minute above 0", received=str(self.rate))
        if self.hold < 1:
            raise InputError("hold", expected="at least 1 decision", received=str(self.hold))


@dataclass(frozen=True)
class Schedule:
    """How the loop spends its time.

    period:  seconds from one chunk's start to the next's, a whole number of its steps; None for the whole chunk
    blend:   steps over which a chunk takes over from what the one before had planned for the same ticks
    """

    period: float | None = None
    blend: int = 0
    thinking: Thinking = field(default_factory=Thinking)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values, None where there is no limit."""
        found: dict[str, Any] = _finite(asdict(self))
        return found

    def period_steps(self, action: Action) -> int:
        """Steps of a chunk that are executed; raises InputError for a period or blend that does not fit the chunk."""
        steps = action.steps if self.period is None else round(self.period / action.step_time)
        exact = self.period is None or math.isclose(steps * action.step_time, self.period, rel_tol=0.01)
        if not exact or not 1 <= steps <= action.steps:
            raise InputError(
                "period",
                expected=f"a whole number of steps of {action.step_time:g} s, 1 to {action.steps} of them",
                received=f"{self.period:g} s",
            )
        if not 0 <= self.blend <= action.steps - steps:
            raise InputError(
                "blend",
                expected=f"0 to {action.steps - steps} steps, as many as a chunk plans beyond its period",
                received=str(self.blend),
                remedy="" if self.blend < 0 else "give a shorter period",
            )
        return steps


def _finite(value: Any) -> Any:
    """The same without infinite numbers, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if value == math.inf else value
