"""Measures what thinking costs acting: one loop, blocks of turns with and without thoughts, in turn.

A turn of a thinking block may think at once, or wait until its thought is sure to be unfinished when the next turn is
due: the hardest moment to be given the machine back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hyt.runtime.listener import Decision, Listener, ThoughtProgress
from hyt.runtime.loop import run_episode
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy
from hyt.runtime.schedule.options import Schedule, Thinking
from hyt.runtime.schedule.rig import Rig

Kind = Literal["off", "on", "late"]
"""Of a block: no thoughts; thoughts at once; thoughts that are open when the next turn is due."""

SETTLE = 5
"""First turns of a block that are not counted: the lead is still being measured."""

BACK = 0.001
"""Seconds before the next turn at which the loop has about ended thinking."""


@dataclass
class Block:
    """What one block of turns measured, in seconds.

    act:      the policy's whole answer, of each turn
    stolen:   what a hypervisor took of it
    waited:   between when a turn was due and when it began
    thinking: likewise, where a thought was open then
    finished: `time.monotonic()` of each finished thought
    tokens, writing: of its thoughts, ends included, and the seconds that their writing took
    """

    kind: Kind
    act: list[float] = field(default_factory=list)
    stolen: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    thinking: list[float] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)
    tokens: int = 0
    writing: float = 0.0
    late: int = 0


class _Watch(Listener):
    """Fills a block; in a late one it also holds the loop back until little of the turn is left for thinking."""

    def __init__(self, block: Block, rig: Rig, period: float, left: float) -> None:
        self._block, self._rig, self._period, self._left = block, rig, period, left
        self._open: ThoughtProgress | None = None
        self._turns = 0
        self._spread = np.random.default_rng(0)

    def decided(self, decision: Decision) -> None:
        """Count a turn."""
        self._turns += 1
        if self._turns > SETTLE:
            block, waited = self._block, decision.began - decision.due
            block.act.append(decision.latencies["policy"])
            block.stolen.append(self._rig.stolen)
            block.waited.append(waited)
            block.late += decision.outcome.late
            if self._open is not None:
                block.thinking.append(waited)
        if self._block.kind == "late":
            begin = decision.due + self._period - BACK - self._left * self._spread.uniform(0.1, 0.9)
            time.sleep(max(begin - time.monotonic(), 0.0))

    def thought(self, progress: ThoughtProgress) -> None:
        """Count what was written of a thought."""
        ended = progress.state != "writing"
        self._open = None if ended else progress
        if progress.state == "finished":
            self._block.finished.append(time.monotonic())
            self._block.tokens += progress.tokens + 1
            self._block.writing += progress.seconds


def run_blocks(
    policy: Policy,
    rig: Rig,
    *,
    instruction: str,
    turns: int,
    block_turns: int,
    thinking: Thinking,
    period: float | None,
    thought_seconds: float,
) -> list[Block]:
    """Blocks of `block_turns` counted turns each, `turns` in all: off and on (every other one late) in random order.

    `thought_seconds` is about what a thought takes.
    """
    random = np.random.default_rng(0)
    seconds = period or policy.contract.action.steps * policy.contract.action.step_time
    blocks = []
    for pair in range(max(turns // (2 * block_turns), 1)):
        kinds: list[Kind] = ["off", "on" if pair % 2 == 0 else "late"]
        for kind in random.permutation(np.array(kinds)):
            block = Block(str(kind))  # type: ignore[arg-type]
            schedule = Schedule(period, thinking=Thinking() if kind == "off" else thinking)
            run_episode(
                policy,
                rig,
                instruction=instruction,
                max_decisions=block_turns + SETTLE,
                listeners=[_Watch(block, rig, seconds, thought_seconds)],
                schedule=schedule,
            )
            blocks.append(block)
    return blocks


def rate_per_minute(blocks: Sequence[Block]) -> float:
    """Thoughts a minute within the blocks, from the time between the first and the last that ended in each; or NaN."""
    spans = [block.finished[-1] - block.finished[0] for block in blocks if len(block.finished) > 1]
    count = sum(len(block.finished) - 1 for block in blocks if len(block.finished) > 1)
    return 60 * count / sum(spans) if spans else float("nan")


def measure_thought(policy: Policy, observation: Observation, repeat: int = 5) -> tuple[float, float]:
    """Median seconds of a whole thought, without the prefix, and of one of its steps."""
    wholes, steps = [], []
    for _ in range(repeat):
        thought = policy.think(observation)
        wholes.append(thought.timings.thought)
        steps.append(thought.timings.thought / (len(thought.tokens) + 1))
    return float(np.median(wholes)), float(np.median(steps))
