"""A snapshot of the run as the JSON that the page draws; page.js is its only reader."""

from __future__ import annotations

import math
import time
from typing import Any

from hyt.runtime.listener import Decision, ThoughtProgress
from hyt.runtime.view.state import Period, Snapshot


def message(now: Snapshot, following: str | None, since: int) -> dict[str, Any]:
    """What a page needs that has the periods up to number `since` already; times in seconds, ages as of this moment.

    The last period that it has is sent again: thinking may have grown in it.
    """
    return {
        "robot": now.robot,
        "modality": now.modality,
        "episode": now.episode,
        "episodes": now.episodes,
        "seed": now.seed,
        "instruction": now.instruction,
        "following": following,
        "decision": None if now.decision is None else _decision(now.decision),
        "thought": None if now.thought is None else _thought(now.thought),
        "limiter": None
        if now.limiter is None
        else {
            "thoughts": _finite(now.limiter.thoughts),
            "tokens": _finite(now.limiter.tokens),
            "waiting_for": now.limiter.waiting_for,
        },
        "counters": dict(now.counters),
        "ended": now.ended,
        "solved": now.solved,
        "late": now.late,
        "periods": [_period(period) for period in now.periods if period.number >= since],
        "over": now.over,
    }


def _decision(decision: Decision) -> dict[str, Any]:
    chunk = decision.chunk
    rows = zip(chunk.dimensions, chunk.values[0].tolist(), strict=True)
    return {
        "index": decision.index,
        "condition": decision.condition,
        "text": decision.text,
        "thought": decision.thought_tokens is not None,
        "action": [
            {"name": d.name, "unit": d.unit, "value": _finite(value), "low": d.low, "high": d.high} for d, value in rows
        ],
        "steps": len(chunk.values),
        "step_time": chunk.step_time,
        "confidence": chunk.confidence,
        "think_probability": chunk.think_probability,
        "latencies": {name: _finite(seconds) for name, seconds in decision.latencies.items()},
        "margin": _finite(decision.margin),
        "cameras": [
            {
                "name": name,
                "width": image.shape[1],
                "height": image.shape[0],
                "age": _finite(decision.frame_ages.get(name)),
            }
            for name, image in decision.observation.images.items()
        ],
    }


def _thought(thought: ThoughtProgress) -> dict[str, Any]:
    return {
        "number": thought.number,
        "decision": thought.decision,
        "text": thought.text,
        "tokens": thought.tokens,
        "seconds": _finite(thought.seconds),
        "state": thought.state,
        "age": _finite(time.monotonic() - thought.observed),
    }


def _period(period: Period) -> list[Any]:
    """number, episode, act, before, beside, length, margin, late, values; short, because there are many."""
    seconds = [_rounded(s) for s in (period.act, period.before, period.beside, period.length, period.margin)]
    return [period.number, period.episode, *seconds, int(period.late), [_rounded(value) for value in period.values]]


def _rounded(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else round(number, 5)


def _finite(number: float | None) -> float | None:
    """None for what JSON has no number for."""
    return None if number is None or not math.isfinite(number) else number
