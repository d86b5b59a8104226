"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "advice", "wrong"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do unless it is good."""

    subject: str
    level: Level
    found: str
    remedy: str = ""
