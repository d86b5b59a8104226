"""What the control loop tells those who listen: each decision, each thought as it grows, each episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hyt.runtime.actions import ActionChunk
from hyt.runtime.observation import Observation
from hyt.runtime.robot import Outcome

Condition = Literal["none", "thought", "text"]
"""What an action was conditioned on besides the instruction: nothing, a held thought, or a text to follow."""


@dataclass(frozen=True)
class Decision:
    """One turn of the loop. `text` is the thought (where it thought before acting), the sub-instruction it followed,
    the held thought it was conditioned on, or empty.

    `thought_tokens` counts the tokens that the policy wrote before the action, without the end of the thought; None
    where it did not think before it.
    Latencies are in seconds by phase: observe, the policy's vision, prefill, thought and decode, policy (all of these
    and what lies between), acknowledge (chunk sent until the firmware's acknowledgement was read),
    camera_to_acknowledge (observe begun until then), execute (chunk sent until executed).

    condition:  what `text` did to the action
    due:        `time.monotonic()` in seconds at which this turn was to begin
    began:      and at which it began to observe
    margin:     seconds between the firmware's acknowledgement and the tick at which the chunk starts; negative if late,
                None where the robot's time stands still between ticks
    tick:       the firmware's tick when it began to observe
    start_tick: and at which the chunk starts
    frame_ages: camera name -> seconds between the frame was taken and the observation was complete
    thought_ids: what it wrote before the action, int32 (thought_tokens,) vocabulary ids; None where it did not think
    """

    index: int
    observation: Observation
    text: str
    chunk: ActionChunk
    outcome: Outcome
    latencies: dict[str, float]
    thought_tokens: int | None = None
    condition: Condition = "none"
    due: float = 0.0
    began: float = 0.0
    margin: float | None = None
    start_tick: int = 0
    frame_ages: Mapping[str, float] = field(default_factory=dict)
    thought_ids: NDArray[np.int32] | None = None
    tick: int = 0


@dataclass(frozen=True)
class ThoughtProgress:
    """A thought that is being written beside the actions, as far as it has come; each report replaces the last.

    number:   counts the thoughts of an episode from 1
    decision: index of the decision whose observation it is about
    tick:     the firmware's tick of that observation
    observed: and its `time.monotonic()` in seconds
    tokens:   how many were written so far, the end of the thought not counted
    seconds:  of computing so far
    state:    writing; finished by the policy; or cut by its budget of tokens or time; or dropped for a newer frame,
              another instruction or the end of the episode
    ids:      the tokens themselves, int32 (tokens,) vocabulary ids
    """

    number: int
    decision: int
    tick: int
    observed: float
    text: str
    tokens: int
    seconds: float
    state: Literal["writing", "finished", "cut", "dropped"]
    ids: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))


@dataclass(frozen=True)
class LimiterState:
    """What thinking may still spend: thoughts and tokens in the buckets, and why no thought is being written, if so.

    waiting_for: empty while a thought is written; else what the next one waits for, in a word or two
    """

    thoughts: float
    tokens: float
    waiting_for: str


@dataclass(frozen=True)
class EpisodeResult:
    """How an episode went; `latencies` hold the seconds of every decision by phase, `thoughts` counts those it thought
    about before it acted, `finished_thoughts` the thoughts that were finished beside the actions."""

    seed: int
    success: bool
    decisions: int
    late_chunks: int
    seconds: float
    latencies: dict[str, list[float]]
    thoughts: int = 0
    finished_thoughts: int = 0


class Listener:
    """Told of what happens, in the loop's own thread, after the chunk is on its way; does nothing by itself.

    What a listener spends is taken from thinking, never from acting, so it must be quick: hand slow work to a thread.
    """

    def episode_started(self, seed: int, instruction: str) -> None:
        """The robot stands at the start of an episode."""

    def decided(self, decision: Decision) -> None:
        """A chunk has been sent, or has been executed where the loop waits for that."""

    def thought(self, progress: ThoughtProgress) -> None:
        """A thought beside the actions has grown or ended."""

    def limited(self, state: LimiterState) -> None:
        """What thinking may still spend, once a decision."""

    def episode_ended(self, result: EpisodeResult) -> None:
        """The episode is over."""
