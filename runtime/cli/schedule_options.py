"""Options that say how the loop spends its time: its period, when to think, how much, and what for."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

from hyt.arguments import above_zero, not_negative, whole
from hyt.errors import InputError
from hyt.runtime.schedule import Limits, Schedule, Thinking


def add_schedule_options(parser: argparse.ArgumentParser) -> None:
    """Add `--period`, `--blend` and the limits of thoughts."""
    group = parser.add_argument_group("time", "when chunks start and what is thought beside them")
    group.add_argument(
        "--period",
        type=above_zero,
        metavar="SECONDS",
        help="from one chunk to the next, a whole number of its steps (default: the whole chunk)",
    )
    group.add_argument(
        "--blend",
        type=whole(0),
        default=0,
        metavar="STEPS",
        help="steps over which a chunk takes over from the rest of the one before (default 0: at once)",
    )
    group.add_argument(
        "--thought-tokens", type=whole(1), metavar="N", help="most tokens of a thought (default: the policy's own)"
    )
    group.add_argument(
        "--thought-seconds", type=above_zero, default=math.inf, metavar="S", help="most seconds of computing for one"
    )
    group.add_argument(
        "--thoughts-per-minute", type=above_zero, default=math.inf, metavar="R", help="most thoughts, over time"
    )
    group.add_argument("--thought-burst", type=whole(1), default=1, metavar="N", help="and at once (default 1)")
    group.add_argument(
        "--tokens-per-second", type=above_zero, default=math.inf, metavar="R", help="most tokens, over time"
    )
    group.add_argument(
        "--thought-cooldown", type=not_negative, default=0.0, metavar="S", help="least seconds between two thoughts"
    )
    group.add_argument(
        "--condition-on",
        choices=("none", "thought"),
        default="none",
        help="thought: act behind the thought that was finished last, read again with each frame (default none)",
    )
    group.add_argument(
        "--hold", type=whole(1), default=10, metavar="N", help="decisions for which a thought is held (default 10)"
    )


def schedule_from(options: argparse.Namespace, thinking: Thinking) -> Schedule:
    """The schedule that the options of `add_schedule_options` ask for, with thoughts when `thinking` says so."""
    limits = Limits(
        thoughts_per_minute=options.thoughts_per_minute,
        burst=options.thought_burst,
        tokens_per_second=options.tokens_per_second,
        cooldown=options.thought_cooldown,
        thought_tokens=options.thought_tokens,
        thought_seconds=options.thought_seconds,
    )
    thinking = replace(thinking, limits=limits, condition=options.condition_on == "thought", hold=options.hold)
    return Schedule(options.period, options.blend, thinking)


def thinking_from(text: str | None, threshold: float | None = None) -> Thinking:
    """What `--think` says: never, always, gate, every=N or rate=R; raises InputError for anything else."""
    kind, _, number = (text or "never").partition("=")
    try:
        if kind == "every" and number:
            return Thinking("every", every=int(number))
        if kind == "rate" and number:
            return Thinking("rate", rate=float(number))
    except ValueError:
        kind = ""
    if kind == "gate" and not number:
        return Thinking("gate", threshold=threshold)
    if kind not in ("never", "always") or number:
        raise InputError(
            "--think",
            expected="never, always, gate, every=N (decisions) or rate=R (a minute)",
            received=repr(text),
        )
    return Thinking()
