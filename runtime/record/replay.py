"""Asks a policy again what a recording says it was asked, and names the first thing that is not the same.

Each decision is repeated from the recorded observation, in the recorded modality: action tokens and thought tokens must
be the recorded ones, a continuous policy's numbers bit by bit. A thought that was written beside the actions is written
again from its decision's observation; one that was cut short must be the beginning of it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hyt.errors import RecordingError
from hyt.runtime.actions import ActionChunk
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy
from hyt.runtime.record.format import Digest, RecordedThought, Run
from hyt.runtime.record.messages import image_digest, state_digest
from hyt.runtime.record.recording import Recording, Step

_REMEMBERED = 4  # observations that a thought beside the actions may begin to be about
_PATIENCE = 3600.0  # seconds for a thought, which its own limit of tokens ends


@dataclass(frozen=True)
class Difference:
    """The first thing of a decision that is not as it was recorded."""

    decision: int
    what: str
    expected: str
    received: str


@dataclass
class Replay:
    """What came of one recording.

    differing: decisions that differ in any way; `first`: the first of these differences
    tokens, same_tokens: action tokens (numbers of a continuous policy) compared, and those that are the same
    thoughts:  thoughts compared, before and beside the actions
    errors:    of each action dimension, the absolute differences of its numbers summed
    rows:      rows of numbers in these sums
    """

    recording: Recording
    decisions: int = 0
    differing: int = 0
    first: Difference | None = None
    tokens: int = 0
    same_tokens: int = 0
    thoughts: int = 0
    rows: int = 0
    errors: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    seconds: float = 0.0

    def note(self, difference: Difference | None) -> None:
        """Count a decision or thought and keep its difference, if it is the first."""
        if difference is not None:
            self.differing += 1
            self.first = self.first or difference


def replay(recording: Recording, policy: Policy, *, gate_threshold: float | None = None) -> Replay:
    """Repeat a recording with this policy; raises RecordingError where the file is damaged.

    gate_threshold: of a gated drive, in place of the policy's own.
    """
    began = time.monotonic()
    result = Replay(recording, errors=np.zeros(len(recording.run.action)))
    policy.reset(instruction=recording.run.instruction)
    seen: OrderedDict[int, Observation] = OrderedDict()
    about: int | None = None  # the decision of the thought that is being written: there is one at a time
    held: RecordedThought | None = None
    for item in recording.steps():
        if isinstance(item, RecordedThought):
            about = item.decision if item.state == "writing" else None
            if item.state == "finished":
                held = item
            if item.state != "writing":
                result.note(_rethought(item, seen, policy, recording))
                result.thoughts += 1
            continue
        observation = Observation(item.images, item.state)
        chunk, ids = _ask(item, observation, held, policy, gate_threshold)
        result.note(_different(item, chunk, ids, recording.run, result))
        result.decisions += 1
        seen[item.decision.decision] = observation
        for old in [number for number in seen if number != about][:-_REMEMBERED]:
            del seen[old]
    result.seconds = time.monotonic() - began
    return result


def _changed(step: Step) -> Difference | None:
    """Whether image or state are still those whose digests were taken when they were recorded."""
    number = step.decision.decision
    for camera, image in step.images.items():
        recorded, found = step.decision.images[camera], image_digest(image)
        if recorded.sha256 != found.sha256:
            where = _place(recorded, found)
            return Difference(
                number,
                f"the image of camera {camera!r}{where} was changed after it was recorded",
                f"SHA-256 {recorded.sha256[:16]}...",
                f"{found.sha256[:16]}...",
            )
    found_state = state_digest(step.state)
    if step.decision.state_sha256 != found_state:
        return Difference(
            number,
            "the state was changed after it was recorded",
            f"SHA-256 {step.decision.state_sha256[:16]}...",
            f"{found_state[:16]}...",
        )
    return None


def _place(recorded: Digest, found: Digest) -> str:
    """Where an image changed, as far as the sums over its rows and columns tell."""
    if (len(recorded.rows), len(recorded.columns)) != (len(found.rows), len(found.columns)):
        return ""
    rows = [i for i, pair in enumerate(zip(recorded.rows, found.rows, strict=True)) if pair[0] != pair[1]]
    columns = [i for i, pair in enumerate(zip(recorded.columns, found.columns, strict=True)) if pair[0] != pair[1]]
    if not rows or not columns:
        return ""
    return f" at {_span('row', rows)}, {_span('column', columns)}"


def _span(name: str, places: Sequence[int]) -> str:
    return f"{name} {places[0]}" if len(places) == 1 else f"{name}s {places[0]} to {places[-1]}"


def _different(
    step: Step, chunk: ActionChunk, ids: NDArray[np.int32] | None, run: Run, result: Replay
) -> Difference | None:
    decision = step.decision
    result.tokens += step.values.size if decision.tokens is None else len(decision.tokens)
    result.thoughts += decision.thought_ids is not None
    # All three, so that the action's tokens are counted whatever else differs.
    differences = (
        _changed(step),
        _thought_difference(decision.decision, "the thought", decision.thought_ids, ids),
        _action_difference(step, chunk, run, result),
    )
    return next((difference for difference in differences if difference is not None), None)


def _ask(
    step: Step, observation: Observation, held: RecordedThought | None, policy: Policy, gate_threshold: float | None
) -> tuple[ActionChunk, NDArray[np.int32] | None]:
    """The chunk, and the tokens of a thought written for it, asked for as it was then."""
    asked, text = step.decision.asked, step.decision.text
    if asked == "follow":
        return policy.follow(observation, text), None
    if asked == "held":
        if held is None or held.text != text:
            subject = f"decision {step.decision.decision}: the thought that it was conditioned on"
            raise RecordingError(subject, expected="the one that was finished last", received=repr(text[:80]))
        return policy.act_with_thought(observation, np.array(held.ids, np.int32)), None
    if asked == "gate":
        chunk, thought = policy.decide(observation, gate_threshold)
        return chunk, None if thought is None else thought.tokens
    if asked == "think":
        thought = policy.think(observation)
        assert thought.action is not None  # no deadline was given
        return thought.action, thought.tokens
    return policy.act(observation), None


def _rethought(
    recorded: RecordedThought, seen: OrderedDict[int, Observation], policy: Policy, recording: Recording
) -> Difference | None:
    observation = seen.get(recorded.decision)
    name = f"thought {recorded.number}"
    if observation is None:
        expected = f"an observation among the {_REMEMBERED} before its first report"
        raise RecordingError(f"{recording.path}: {name}", expected=expected, received=f"decision {recorded.decision}")
    thought = policy.think(observation, time.monotonic() + _PATIENCE)
    ids = thought.tokens if recorded.state == "finished" else thought.tokens[: len(recorded.ids)]
    return _thought_difference(recorded.decision, name, recorded.ids, ids)


def _thought_difference(
    decision: int, name: str, recorded: tuple[int, ...] | None, found: NDArray[np.int32] | None
) -> Difference | None:
    if recorded is None or found is None:
        if recorded is None and found is None:
            return None
        said = ("no thought", "one") if recorded is None else ("a thought", "none")
        return Difference(decision, "whether it thought", *said)
    for index, (one, other) in enumerate(zip(recorded, found.tolist(), strict=False)):
        if one != other:
            return Difference(decision, f"token {index + 1} of {name}", f"{one}", f"{other}")
    if len(recorded) != len(found):
        return Difference(decision, f"length of {name}", f"{len(recorded)} tokens", f"{len(found)}")
    return None


def _action_difference(step: Step, chunk: ActionChunk, run: Run, result: Replay) -> Difference | None:
    number, recorded = step.decision.decision, step.decision.tokens
    if step.values.shape != chunk.values.shape or (recorded is None) != (chunk.tokens is None):
        return Difference(number, "the action's shape", str(step.values.shape), str(chunk.values.shape))
    result.errors += np.abs(step.values - chunk.values, dtype=np.float64).sum(axis=0)
    result.rows += len(step.values)
    names = [f"{d.name} of step {row + 1}" for row in range(len(step.values)) for d in run.action]
    if recorded is not None and chunk.tokens is not None:
        before, now, kind = list(recorded), chunk.tokens.tolist(), "action token"
    else:
        before, now, kind = step.values.ravel().tolist(), chunk.values.ravel().tolist(), "action value"
    if len(before) != len(now):
        return Difference(number, f"number of {kind}s", str(len(before)), str(len(now)))
    wrong = [index for index, (one, other) in enumerate(zip(before, now, strict=True)) if one != other]
    result.same_tokens += len(before) - len(wrong)
    if wrong:
        first = wrong[0]
        what = f"{kind} {first + 1} of {len(before)} ({names[first]})"
        return Difference(number, what, str(before[first]), str(now[first]))
    return None
