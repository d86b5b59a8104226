"""How much may be thought: token buckets, a cool-down and a budget a thought.

It knows no clock: every call is given the time, in seconds that only go forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hyt.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What thinking may cost.

    thoughts_per_minute, burst:     thoughts begun; after a rest, `burst` of them at once
    tokens_per_second, token_burst: tokens written, ends of thoughts included; likewise (None: a second's worth)
    cooldown:                       seconds between the end of a thought and the next one's beginning
    thought_tokens:                 most tokens of one thought, its end included; None for the policy's own limit
    thought_seconds:                most seconds of computing for one thought
    """

    thoughts_per_minute: float = math.inf
    burst: float = 1.0
    tokens_per_second: float = math.inf
    token_burst: float | None = None
    cooldown: float = 0.0
    thought_tokens: int | None = None
    thought_seconds: float = math.inf

    def __post_init__(self) -> None:
        least = [
            ("thoughts_per_minute", self.thoughts_per_minute, 0.0),
            ("burst", self.burst, 1.0),
            ("tokens_per_second", self.tokens_per_second, 0.0),
            ("token_burst", 1.0 if self.token_burst is None else self.token_burst, 1.0),
            ("cooldown", self.cooldown, 0.0),
            ("thought_tokens", 1 if self.thought_tokens is None else self.thought_tokens, 1),
            ("thought_seconds", self.thought_seconds, 0.0),
        ]
        for name, value, low in least:
            if not value >= low:
                raise InputError(name, expected=f"at least {low:g}", received=f"{value:g}")


class Bucket:
    """A token bucket: `rate` a second flow in, up to `size`; full at first. An infinite rate never runs dry."""

    def __init__(self, rate: float, size: float) -> None:
        self._rate, self._size = rate, size
        self._level = size
        self._at: float | None = None

    def level(self, now: float) -> float:
        """What is in it at `now`; infinite where the rate is."""
        if math.isinf(self._rate):
            return math.inf
        if self._at is not None and now > self._at:
            self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now if self._at is None else max(now, self._at)
        return self._level

    def take(self, amount: float, now: float) -> None:
        """Take out what `level` said is there."""
        if not math.isinf(self._rate):
            self._level = self.level(now) - amount


class Limiter:
    """Says whether a thought may begin and how far one may go on."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._thoughts = Bucket(limits.thoughts_per_minute / 60, limits.burst)
        burst = max(limits.tokens_per_second, 1.0) if limits.token_burst is None else limits.token_burst
        self._tokens = Bucket(limits.tokens_per_second, burst)
        self._ended = -math.inf
        self._spent, self._seconds = 0, 0.0  # on the open thought

    def refusal(self, now: float) -> str:
        """Why no thought may begin now, in a word or two; empty when one may."""
        if self._thoughts.level(now) < 1:
            return "thoughts a minute"
        room = self.room(now)
        if room is not None and room < 1:
            return "tokens a second"
        if now - self._ended < self._limits.cooldown:
            return "cool-down"
        return ""

    def begin(self, now: float) -> None:
        """A thought begins."""
        self._thoughts.take(1, now)
        self._spent, self._seconds = 0, 0.0

    def room(self, now: float) -> int | None:
        """Tokens that may be written now, by their rate; None for any number."""
        level = self._tokens.level(now)
        return None if math.isinf(level) else max(math.floor(level + 1e-9), 0)

    def left(self) -> tuple[int | None, float]:
        """What is left of the open thought's budget: tokens (None: any number), and seconds of computing."""
        most = self._limits.thought_tokens
        return None if most is None else max(most - self._spent, 0), max(
            self._limits.thought_seconds - self._seconds, 0
        )

    def spend(self, tokens: int, seconds: float, now: float) -> None:
        """The open thought has taken so much."""
        self._tokens.take(tokens, now)
        self._spent += tokens
        self._seconds += seconds

    def end(self, now: float) -> None:
        """The open thought has ended, however it did."""
        self._ended = now

    def levels(self, now: float) -> tuple[float, float]:
        """Thoughts and tokens that may be spent at once; infinite where there is no limit."""
        return self._thoughts.level(now), self._tokens.level(now)
