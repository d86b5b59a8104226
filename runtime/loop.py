"""The control loop: observe, ask the policy, send the chunk, think until the next turn; until the episode is over."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress

from hyt.errors import LinkError
from hyt.runtime.controls import Controls
from hyt.runtime.frames import FrameHistory
from hyt.runtime.interpreter import Sweeper, prompt_interpreter
from hyt.runtime.listener import Decision, EpisodeResult, Listener
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy
from hyt.runtime.robot import Outcome, Robot
from hyt.runtime.schedule.ask import Asker, Modality
from hyt.runtime.schedule.options import Schedule
from hyt.runtime.schedule.pace import Pace
from hyt.runtime.schedule.thinker import Thinker, Turn

__all__ = ["Modality", "run_episode"]

REHEARSALS = 3
"""Turns that are played without sending before a robot that runs by the clock is armed: how long they take is what
the first real ones are planned by."""


def run_episode(
    policy: Policy,
    robot: Robot,
    *,
    instruction: str,
    modality: Modality = "act",
    seed: int = 0,
    max_decisions: int = 200,
    sub_instruction: Callable[[Observation], str | None] | None = None,
    gate_threshold: float | None = None,
    listeners: Sequence[Listener] = (),
    controls: Controls | None = None,
    schedule: Schedule | None = None,
) -> EpisodeResult:
    """Run one episode and return how it went.

    In `follow` the text of each decision comes from `sub_instruction` (default: the robot's own); raises InputError
    when there is none, and in `gate` for a policy without one. `gate_threshold`, in place of the policy's own, is the
    probability from which on it thinks. With `controls` a text that somebody says to follow goes before all this until
    it is taken back, and a stop ends the episode.

    `schedule` says when chunks start and what is thought beside them (default: a whole chunk a turn, no thoughts). On a
    robot whose time stands still between ticks every turn is in time: the loop waits until the chunk has been executed
    before it tells of the decision and observes again. Errors of the policy, the robot and listeners pass through,
    behind an attempt to disarm the firmware, which otherwise stops by itself when chunks stop.
    """
    policy.reset(instruction=instruction)
    run = _Run(
        policy,
        robot,
        Asker(policy, modality, sub_instruction or (lambda _: robot.sub_instruction()), gate_threshold),
        list(listeners),
        Controls() if controls is None else controls,
        Schedule() if schedule is None else schedule,
    )
    try:
        with nullcontext() if robot.stepped else prompt_interpreter() as sweeper:
            run.prepare()
            robot.reset(seed)
            return run.episode(seed, instruction, max_decisions, sweeper)
    except BaseException:
        with suppress(LinkError):  # the link may be what failed
            robot.rest()
        raise


class _Run:
    """One episode under way."""

    def __init__(
        self,
        policy: Policy,
        robot: Robot,
        asker: Asker,
        listeners: Sequence[Listener],
        controls: Controls,
        schedule: Schedule,
    ) -> None:
        self._robot, self._asker, self._listeners, self._controls = robot, asker, listeners, controls
        self._blend, self._steps = schedule.blend, schedule.period_steps(policy.contract.action)
        self._pace = Pace(robot, self._steps)
        self._thinker = Thinker(policy, schedule.thinking, listeners, lambda: controls.stopped)
        self._latencies: defaultdict[str, list[float]] = defaultdict(list)
        self._history = FrameHistory(policy.contract)

    def prepare(self) -> None:
        """Play some turns without sending, before the robot is armed, where its time does not wait."""
        held = None
        for _ in range(0 if self._robot.stepped else REHEARSALS):
            began = time.monotonic()
            observation = self._history.add(self._robot.observe())
            self._asker.ask(observation, held=held)
            self._pace.rehearse(time.monotonic() - began)
            held = self._thinker.rehearse(observation)

    def episode(self, seed: int, instruction: str, max_decisions: int, sweeper: Sweeper | None) -> EpisodeResult:
        """The episode from its start, where the robot stands armed; `sweeper` collects garbage between its turns."""
        robot, controls = self._robot, self._controls
        self._history.reset()
        for listener in self._listeners:
            listener.episode_started(seed, instruction)
        began = time.monotonic()
        late = thoughts = index = 0
        while index < max_decisions and not controls.stopped:
            decision = self._turn(index + 1)
            if decision is None:
                break
            index += 1
            late += decision.outcome.late
            thoughts += decision.thought_tokens is not None
            if decision.outcome.done:
                break
            if sweeper is not None:
                sweeper.sweep(self._pace.until)
            self._think(decision)
        if controls.stopped:
            with suppress(LinkError):  # it may be stopped already, and latched
                robot.rest()
        else:
            self._pace.finish()
        self._thinker.drop(self._pace.now)
        result = EpisodeResult(
            seed,
            robot.success,
            index,
            late,
            time.monotonic() - began,
            dict(self._latencies),
            thoughts,
            self._thinker.finished,
        )
        for listener in self._listeners:
            listener.episode_ended(result)
        return result

    def _turn(self, index: int) -> Decision | None:
        """Decide once and send; None where the episode had ended before."""
        robot, pace = self._robot, self._pace
        due = pace.wait()
        began = time.monotonic()
        if robot.done or self._controls.stopped:
            return None
        tick = robot.tick()
        observation = self._history.add(robot.observe())
        if robot.done:
            return None
        observed = time.monotonic()
        said = self._controls.text
        answer = self._asker.ask(observation, said, self._thinker.holder.take() if said is None else None)
        handed = time.monotonic()
        sent = robot.send(answer.chunk, start=pace.start(began), steps=self._steps, blend=self._blend)
        late = pace.sent(began, handed, sent)
        margin = None if robot.stepped else robot.time_of(sent.start_tick) - sent.acknowledged
        if robot.stepped:
            robot.wait_until(sent.end_tick)
        executed = time.monotonic()
        timings = answer.chunk.timings
        latencies = {
            "observe": observed - began,
            "vision": timings.vision,
            "prefill": timings.prefill,
            "decode": timings.decode,
            "policy": handed - observed,
            "acknowledge": sent.acknowledged - handed,
            "camera_to_acknowledge": sent.acknowledged - began,
        }
        if robot.stepped:
            latencies["execute"] = executed - handed
        if answer.thought is not None or self._asker.thinks:
            latencies["thought"] = timings.thought
        for phase, seconds in latencies.items():
            self._latencies[phase].append(seconds)
        decision = Decision(
            index,
            observation,
            answer.text,
            answer.chunk,
            Outcome(robot.done, robot.success, robot.tick(), late, sent.acknowledged),
            latencies,
            None if answer.thought is None else len(answer.thought),
            condition=answer.condition,
            due=due,
            began=began,
            margin=margin,
            start_tick=sent.start_tick % 2**32,
            frame_ages=observation.frame_ages,
            thought_ids=answer.thought,
            tick=tick % 2**32,
        )
        for listener in self._listeners:
            listener.decided(decision)
        return decision

    def _think(self, decision: Decision) -> None:
        """Spend what is left of the turn on thoughts."""
        turn = Turn(
            index=decision.index,
            observation=decision.observation,
            tick=decision.tick,
            observed=decision.began,
            probability=decision.chunk.think_probability,
            demanded=self._controls.take_think(),
            following=decision.condition == "text",
            now=self._pace.now,
            until=self._pace.until,
        )
        began = time.monotonic()
        self._thinker.take(turn)
        self._pace.gave_back(began, turn.until)
