"""The control loop: observe, ask the policy, execute; until the task is solved or the limit is reached."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from hyt.errors import InputError
from hyt.runtime.actions import ActionChunk
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy
from hyt.runtime.robot import Outcome, Robot

Modality = Literal["act", "think", "follow"]


@dataclass(frozen=True)
class Decision:
    """One turn of the loop. `text` is the thought (think), the sub-instruction (follow) or empty (act).

    `thought_tokens` counts the tokens that the policy wrote before the action, without the end of the thought.
    Latencies are in seconds by phase: observe, the policy's vision, prefill, thought and decode, policy (all of these
    and what lies between), acknowledge (chunk sent until the firmware's acknowledgement was read),
    camera_to_acknowledge (observe begun until then), execute (chunk sent until executed).
    """

    index: int
    observation: Observation
    text: str
    chunk: ActionChunk
    outcome: Outcome
    latencies: dict[str, float]
    thought_tokens: int = 0


@dataclass(frozen=True)
class EpisodeResult:
    """How an episode went; `latencies` hold the seconds of every decision by phase."""

    seed: int
    success: bool
    decisions: int
    late_chunks: int
    seconds: float
    latencies: dict[str, list[float]]


class Listener:
    """Told of what happens in the loop, between the robot's moves; does nothing by itself."""

    def episode_started(self, seed: int, instruction: str) -> None:
        """The robot stands at the start of an episode."""

    def decided(self, decision: Decision) -> None:
        """A chunk has been executed."""

    def episode_ended(self, result: EpisodeResult) -> None:
        """The episode is over."""


def run_episode(
    policy: Policy,
    robot: Robot,
    *,
    instruction: str,
    modality: Modality = "act",
    seed: int = 0,
    max_decisions: int = 200,
    sub_instruction: Callable[[], str | None] | None = None,
    listeners: Sequence[Listener] = (),
) -> EpisodeResult:
    """Run one episode and return how it went.

    In `follow` the text of each decision comes from `sub_instruction` (default: the robot's own); raises InputError
    when there is none. Errors of the policy and of the robot pass through: the firmware stops by itself when chunks
    stop.
    """
    policy.reset(instruction=instruction)
    robot.reset(seed)
    for listener in listeners:
        listener.episode_started(seed, instruction)
    advise = sub_instruction or robot.sub_instruction
    latencies: defaultdict[str, list[float]] = defaultdict(list)
    began = time.monotonic()
    success, late, index = False, 0, 0
    for index in range(1, max_decisions + 1):
        decision = _decide(policy, robot, modality, advise, index)
        for phase, seconds in decision.latencies.items():
            latencies[phase].append(seconds)
        for listener in listeners:
            listener.decided(decision)
        late += decision.outcome.late
        success = decision.outcome.success
        if decision.outcome.done:
            break
    result = EpisodeResult(seed, success, index, late, time.monotonic() - began, dict(latencies))
    for listener in listeners:
        listener.episode_ended(result)
    return result


def _decide(policy: Policy, robot: Robot, modality: Modality, advise: Callable[[], str | None], index: int) -> Decision:
    began = time.monotonic()
    observation = robot.observe()
    observed = time.monotonic()
    text, thought_tokens, chunk = _ask(policy, observation, modality, advise)
    sent = time.monotonic()
    outcome = robot.execute(chunk)
    latencies = {
        "observe": observed - began,
        "vision": chunk.timings.vision,
        "prefill": chunk.timings.prefill,
        "decode": chunk.timings.decode,
        "policy": sent - observed,
        "acknowledge": outcome.acknowledged - sent,
        "camera_to_acknowledge": outcome.acknowledged - began,
        "execute": time.monotonic() - sent,
    }
    if modality == "think":
        latencies["thought"] = chunk.timings.thought
    return Decision(index, observation, text, chunk, outcome, latencies, thought_tokens)


def _ask(
    policy: Policy, observation: Observation, modality: Modality, advise: Callable[[], str | None]
) -> tuple[str, int, ActionChunk]:
    """The text, the tokens of a thought that the policy wrote, and the chunk."""
    if modality == "act":
        return "", 0, policy.act(observation)
    if modality == "think":
        thought = policy.think(observation)
        assert thought.action is not None  # no deadline was given
        return thought.text, len(thought.tokens), thought.action
    text = advise()
    if text is None:
        raise InputError("follow", expected="a sub-instruction", received="none", remedy="give one by --instruction")
    return text, 0, policy.follow(observation, text)
