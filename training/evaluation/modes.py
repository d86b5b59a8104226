"""The ways to ask a policy in an evaluation, and how one episode of each is run.

    act         the instruction, at once
    think       the instruction, a thought, the action behind it
    gate        the instruction; a thought where the policy's gate asks for it
    follow      the sub-instruction of an onlooker who knows the simulator's state (the oracle's thought)
    follow-own  the policy thinks about the instruction, then follows the sub-instruction in its own thought

and two in scenes that begin half way between a task and its opposite (`hyt.simulation.midway`):

    act-midway       the task's instruction; solved when the thing moves the task's way
    follow-opposite  the sub-instruction of an onlooker who wants the opposite; solved when the thing moves its way

Each is `hyt.runtime.loop.run_episode` through the firmware, as `hyt-run drive` runs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from hyt.runtime.listener import Decision, EpisodeResult, Listener
from hyt.runtime.loop import Modality, run_episode
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy
from hyt.simulation.metaworld import MetaWorldArm
from hyt.simulation.midway import OPPOSITES, MidwayArm
from hyt.simulation.robot import SimulatedRobot
from hyt.simulation.thoughts import sub_instruction_in

MODES: dict[str, Modality] = {
    "act": "act",
    "think": "think",
    "gate": "gate",
    "follow": "follow",
    "follow-own": "follow",
    "act-midway": "act",
    "follow-opposite": "follow",
}
"""By name, the modality in which the policy is asked."""

MIDWAY = ("act-midway", "follow-opposite")
"""Modes for tasks that have an opposite alone."""


class ThoughtCounter(Listener):
    """Collects the tokens of each thought of an episode."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def decided(self, decision: Decision) -> None:
        """Count a thought, if there was one."""
        if decision.thought_tokens is not None:
            self.tokens.append(decision.thought_tokens)


class SelfFollower:
    """The policy as its own onlooker: what it is told is the sub-instruction in its thought about the observation."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.thought_tokens: list[int] = []
        self.thought_seconds: list[float] = []

    def __call__(self, observation: Observation) -> str:
        """The sub-instruction for this observation; InputError passes through when it cannot be followed."""
        thought = self._policy.think(observation, until=math.inf)  # to its end, without the action behind it
        self.thought_tokens.append(len(thought.tokens))
        self.thought_seconds.append(thought.timings.thought)
        return sub_instruction_in(thought.text)


def applies(mode: str, task: str) -> bool:
    """Whether a task can be evaluated in a mode."""
    return mode not in MIDWAY or task in OPPOSITES


def make_arm(mode: str, task: str) -> MetaWorldArm:
    """The arm of a task as the mode wants it."""
    return MidwayArm(task, opposite=mode == "follow-opposite") if mode in MIDWAY else MetaWorldArm(task)


def run_mode(policy: Policy, robot: SimulatedRobot, mode: str, seed: int) -> tuple[EpisodeResult, list[int]]:
    """Run one episode; returns how it went and the tokens of each thought. Raises what `run_episode` raises."""
    counter, follower = ThoughtCounter(), SelfFollower(policy)
    arm = robot.arm
    advise: Callable[[Observation], str | None] | None = None
    if isinstance(arm, MidwayArm):
        advise = lambda _: arm.sub_instruction()  # noqa: E731
    if mode == "follow-own":
        advise, counter.tokens = follower, follower.thought_tokens
    result = run_episode(
        policy,
        robot,
        instruction=robot.instruction,
        modality=MODES[mode],
        seed=seed,
        sub_instruction=advise,
        listeners=[counter],
    )
    if mode == "follow-own":
        result.latencies["thought"] = follower.thought_seconds
    return result, counter.tokens
