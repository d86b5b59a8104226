"""From what the loop tells to the messages of a recording: topic, wall clock in nanoseconds, JSON."""

from __future__ import annotations

import hashlib
import json
import math
from base64 import b64encode
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hyt.runtime.listener import Decision, LimiterState, ThoughtProgress
from hyt.runtime.png import encode_png
from hyt.runtime.record.format import (
    ACTION,
    CAMERA,
    DECISION,
    EPISODE,
    LIMITER,
    LOG,
    STATE,
    THOUGHT,
    Asked,
    Digest,
    Ending,
    RecordedAction,
    RecordedDecision,
    RecordedLimiter,
    RecordedState,
    RecordedThought,
    Run,
)

Message = tuple[str, int, bytes]
_INFO = 2  # foxglove.Log's level


class Clock:
    """Turns `time.monotonic()` of one episode into wall-clock nanoseconds, and into seconds since the episode began."""

    def __init__(self, wall_ns: int, monotonic: float) -> None:
        self._wall_ns, self._monotonic = wall_ns, monotonic

    def wall(self, monotonic: float) -> int:
        """Nanoseconds since 1970."""
        return max(0, self._wall_ns + round((monotonic - self._monotonic) * 1e9))

    def seconds(self, monotonic: float) -> float:
        """Seconds since the episode began."""
        return monotonic - self._monotonic


def decision_messages(decision: Decision, run: Run, clock: Clock) -> Iterator[Message]:
    """Images, state, action and, last, the decision itself."""
    seen = clock.wall(decision.began)
    sent = max(seen, clock.wall(decision.outcome.acknowledged))
    observation, chunk = decision.observation, decision.chunk
    for camera, image in observation.images.items():
        yield CAMERA + camera, seen, image_message(camera, seen, encode_png(image))
    names = [dimension.name for dimension in run.state]
    values = dict(zip(names, observation.state.tolist(), strict=True))
    yield STATE, seen, _json(RecordedState(decision=decision.index, values=values))
    names = [dimension.name for dimension in run.action]
    steps = tuple(dict(zip(names, row, strict=True)) for row in chunk.values.tolist())
    yield ACTION, sent, _json(RecordedAction(decision=decision.index, step_time=chunk.step_time, steps=steps))
    recorded = RecordedDecision(
        decision=decision.index,
        asked=_asked(decision, run),
        text=decision.text,
        condition=decision.condition,
        thought_ids=_numbers(decision.thought_ids),
        tokens=_numbers(chunk.tokens),
        probabilities=None if chunk.probabilities is None else tuple(chunk.probabilities.tolist()),
        gate=chunk.think_probability,
        tick=decision.tick,
        start_tick=decision.start_tick,
        end_tick=decision.outcome.tick,
        late=decision.outcome.late,
        done=decision.outcome.done,
        success=decision.outcome.success,
        due=clock.seconds(decision.due),
        began=clock.seconds(decision.began),
        acknowledged=clock.seconds(decision.outcome.acknowledged),
        margin=decision.margin,
        latencies=decision.latencies,
        frame_ages=dict(decision.frame_ages),
        images={camera: image_digest(image) for camera, image in observation.images.items()},
        state_sha256=state_digest(observation.state),
    )
    yield DECISION, sent, _json(recorded)
    if decision.thought_ids is not None:
        yield log_message(sent, f"decision {decision.index}: {decision.text}", "thought")


def thought_messages(progress: ThoughtProgress, now: int, clock: Clock) -> Iterator[Message]:
    """The thought as far as it has come; and, once it has ended, a line of the log."""
    recorded = RecordedThought(
        number=progress.number,
        decision=progress.decision,
        tick=progress.tick,
        observed=clock.seconds(progress.observed),
        text=progress.text,
        ids=tuple(progress.ids.tolist()),
        seconds=progress.seconds,
        state=progress.state,
    )
    yield THOUGHT, now, _json(recorded)
    if progress.state != "writing":
        text = f"thought {progress.number} of decision {progress.decision}, {progress.state}: {progress.text}"
        yield log_message(now, text, "thought")


def limiter_message(state: LimiterState, now: int) -> Message:
    """What thinking may still spend."""
    thoughts, tokens = (value if math.isfinite(value) else None for value in (state.thoughts, state.tokens))
    recorded = RecordedLimiter(thoughts=thoughts, tokens=tokens, waiting_for=state.waiting_for)
    return LIMITER, now, _json(recorded)


def ending_messages(ending: Ending, now: int) -> Iterator[Message]:
    """The last messages of an episode."""
    yield log_message(now, ending.ended, "episode")
    yield EPISODE, now, _json(ending)


def log_message(now: int, text: str, name: str) -> Message:
    """A line of text that a viewer's log shows."""
    line = {"timestamp": _time(now), "level": _INFO, "message": text, "name": name, "file": "", "line": 0}
    return LOG, now, json.dumps(line).encode()


def image_message(camera: str, now: int, png: bytes) -> bytes:
    """A foxglove.CompressedImage."""
    rest = {"timestamp": _time(now), "frame_id": camera, "format": "png"}
    # By hand: the picture needs no escapes, and looking for some in megabytes would hold up the control loop.
    return json.dumps(rest)[:-1].encode() + b', "data": "' + b64encode(png) + b'"}'


def image_digest(image: NDArray[np.uint8]) -> Digest:
    """Of an image uint8 (height, width, 3)."""
    height, width, _ = image.shape
    columns = image.sum(axis=0, dtype=np.uint32)  # (width, 3)
    return Digest(
        sha256=hashlib.sha256(image.data).hexdigest(),
        rows=tuple(image.reshape(height, width * 3).sum(axis=1, dtype=np.uint32).tolist()),
        columns=tuple(columns.sum(axis=1, dtype=np.uint32).tolist()),
    )


def state_digest(state: NDArray[np.float32]) -> str:
    """SHA-256 of the state's bytes, little endian."""
    return hashlib.sha256(state.astype("<f4").tobytes()).hexdigest()


def _asked(decision: Decision, run: Run) -> Asked:
    if decision.condition == "text":
        return "follow"
    if decision.condition == "thought":
        return "held"
    if run.modality == "gate":
        return "gate"
    return "act" if decision.thought_ids is None else "think"


def _numbers(values: NDArray[np.int32] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values.tolist())


def _json(
    message: RecordedState | RecordedAction | RecordedDecision | RecordedThought | RecordedLimiter | Ending,
) -> bytes:
    return message.model_dump_json().encode()


def _time(now: int) -> dict[str, int]:
    return {"sec": now // 10**9, "nsec": now % 10**9}


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that stand there already."""
    found: list[str] = []
    for name in names:
        number, unique = 2, name
        while unique in found:
            unique, number = f"{name} {number}", number + 1
        found.append(unique)
    return found
