"""Actions, latencies and counts in words, for one line each."""

from __future__ import annotations

from collections.abc import Mapping

from hyt.runtime.actions import ActionChunk


def describe_action(chunk: ActionChunk) -> str:
    """The first step of a chunk in words: `x +0.012 m  y -0.001 m  gripper +1.000  (42% sure)`, of tokens."""
    parts = [
        f"{dimension.name} {value:+.3f}{unit_suffix(dimension.unit)}"
        for dimension, value in zip(chunk.dimensions, chunk.values[0], strict=True)
    ]
    sure = "" if chunk.confidence is None else f"  ({chunk.confidence:.0%} sure)"
    return f"{'  '.join(parts)}{sure}"


def unit_suffix(unit: str) -> str:
    """` m` behind a number; nothing for a number without a unit, which the contract writes as 1."""
    return "" if unit in ("", "1") else f" {unit}"


def describe_latencies(seconds: Mapping[str, float]) -> str:
    """Latencies in words, in milliseconds: `vision 4.1  prefill 2.0 ms`."""
    shown = ("vision", "prefill", "thought", "decode", "policy", "acknowledge")
    return "  ".join(f"{phase} {seconds[phase] * 1e3:.1f}" for phase in shown if phase in seconds) + " ms"
