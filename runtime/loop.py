"""The control loop: observe, ask the policy, execute; until the task is solved or the limit is reached."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hyt.errors import InputError
from hyt.runtime.actions import ActionChunk
from hyt.runtime.controls import Controls
from hyt.runtime.listener import Decision, EpisodeResult, Listener
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy
from hyt.runtime.robot import Robot

Modality = Literal["act", "think", "follow", "gate"]
"""The three modalities, and `gate`: act or think, as the policy's gate says at each decision."""


def run_episode(
    policy: Policy,
    robot: Robot,
    *,
    instruction: str,
    modality: Modality = "act",
    seed: int = 0,
    max_decisions: int = 200,
    sub_instruction: Callable[[], str | None] | None = None,
    gate_threshold: float | None = None,
    listeners: Sequence[Listener] = (),
    controls: Controls | None = None,
) -> EpisodeResult:
    """Run one episode and return how it went.

    In `follow` the text of each decision comes from `sub_instruction` (default: the robot's own); raises InputError
    when there is none, and in `gate` for a policy without one. `gate_threshold`, in place of the policy's own, is the
    probability from which on it thinks. With `controls` a text that somebody says to follow goes
    before all this until it is taken back, and a stop ends the episode. Errors of the policy and of the robot pass
    through: the firmware stops by itself when chunks stop.
    """
    policy.reset(instruction=instruction)
    robot.reset(seed)
    for listener in listeners:
        listener.episode_started(seed, instruction)
    advise = sub_instruction or robot.sub_instruction
    latencies: defaultdict[str, list[float]] = defaultdict(list)
    began = time.monotonic()
    success, late, thoughts, index = False, 0, 0, 0
    while index < max_decisions and not (controls is not None and controls.stopped):
        index += 1
        said = controls.text if controls is not None else None
        if said is None:
            decision = _decide(policy, robot, modality, advise, gate_threshold, index)
        else:
            decision = _decide(policy, robot, "follow", partial(str, said), gate_threshold, index)
        for phase, seconds in decision.latencies.items():
            latencies[phase].append(seconds)
        for listener in listeners:
            listener.decided(decision)
        late += decision.outcome.late
        thoughts += decision.thought_tokens is not None
        success = decision.outcome.success
        if decision.outcome.done:
            break
    result = EpisodeResult(seed, success, index, late, time.monotonic() - began, dict(latencies), thoughts)
    for listener in listeners:
        listener.episode_ended(result)
    return result


def _decide(
    policy: Policy,
    robot: Robot,
    modality: Modality,
    advise: Callable[[], str | None],
    gate_threshold: float | None,
    index: int,
) -> Decision:
    began = time.monotonic()
    observation = robot.observe()
    observed = time.monotonic()
    text, thought, chunk = _ask(policy, observation, modality, advise, gate_threshold)
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
    if modality in ("think", "gate"):
        latencies["thought"] = chunk.timings.thought
    return Decision(
        index,
        observation,
        text,
        chunk,
        outcome,
        latencies,
        None if thought is None else len(thought),
        condition="text" if modality == "follow" else "none",
        due=began,
        began=began,
        frame_ages=observation.frame_ages,
        thought_ids=thought,
    )


def _ask(
    policy: Policy,
    observation: Observation,
    modality: Modality,
    advise: Callable[[], str | None],
    gate_threshold: float | None,
) -> tuple[str, NDArray[np.int32] | None, ActionChunk]:
    """The text, the tokens of a thought that the policy wrote (None: it did not think), and the chunk."""
    if modality == "act":
        return "", None, policy.act(observation)
    if modality == "follow":
        text = advise()
        if text is None:
            remedy = "give one by --instruction"
            raise InputError("follow", expected="a sub-instruction", received="none", remedy=remedy)
        return text, None, policy.follow(observation, text)
    if modality == "gate":
        chunk, thought = policy.decide(observation, gate_threshold)
        return ("", None, chunk) if thought is None else (thought.text, thought.tokens, chunk)
    thought = policy.think(observation)
    assert thought.action is not None  # no deadline was given
    return thought.text, thought.tokens, thought.action
