"""Reads recordings back: the run of an episode, its decisions with their observations, its thoughts, its ending.

A recording is data from elsewhere: every message is bounded and checked before it is believed.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from hyt.errors import RecordingError
from hyt.runtime.contract import first_problem
from hyt.runtime.json_file import parse_json
from hyt.runtime.png import decode_png
from hyt.runtime.record.container import Message, Metadata, Reader
from hyt.runtime.record.format import (
    ACTION,
    CAMERA,
    DECISION,
    EPISODE,
    FORMAT,
    MESSAGE_LIMIT,
    RECORD_LIMIT,
    RUN,
    STATE,
    SUFFIX,
    THOUGHT,
    UNFINISHED,
    Ending,
    RecordedAction,
    RecordedDecision,
    RecordedState,
    RecordedThought,
    Run,
)

_IMAGE_COMMAS = 16  # a foxglove.CompressedImage has four; each more would be memory for whoever wrote it
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Step:
    """One recorded decision.

    images: camera name -> uint8 (height, width, 3), RGB, as they stand in the file
    state:  float32 (n,)
    values: float32 (steps, dims), in the robot's units
    """

    decision: RecordedDecision
    images: dict[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    values: NDArray[np.float32]


@dataclass
class _Parts:
    """What stands in the file before the decision that it belongs to."""

    images: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    state: RecordedState | None = None
    action: RecordedAction | None = None


class Recording:
    """One file. `run` is read at once; raises RecordingError for a file that is none or of a newer format.

    `steps` reads the rest in one pass; after it `ending` is how the episode ended, None for an unfinished file, and
    `cut` says where such a file stops.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run = self._read_run()
        self.ending: Ending | None = None
        self.cut = ""

    def steps(self) -> Iterator[Step | RecordedThought]:
        """Decisions, and the reports of thoughts beside them, in order; raises RecordingError at what is damaged."""
        reader = Reader(self.path)
        parts, last = _Parts(), 0
        for record in reader:
            if not isinstance(record, Message):
                continue
            topic = record.topic
            if topic.startswith(CAMERA):
                self._add_image(parts, topic.removeprefix(CAMERA), record.data)
            elif topic == STATE:
                parts.state = self._parsed(record, RecordedState)
            elif topic == ACTION:
                parts.action = self._parsed(record, RecordedAction)
            elif topic == DECISION:
                decision = self._parsed(record, RecordedDecision)
                if decision.decision <= last:
                    raise self._wrong(f"decision {decision.decision}", "rising numbers", f"it after {last}")
                yield self._step(decision, parts)
                parts, last = _Parts(), decision.decision
            elif topic == THOUGHT:
                yield self._parsed(record, RecordedThought)
            elif topic == EPISODE:
                self.ending = self._parsed(record, Ending)
        self.cut = reader.cut

    def _read_run(self) -> Run:
        for record in Reader(self.path):
            if isinstance(record, Metadata) and record.name == RUN:
                fields = {
                    name: parse_json(text.encode("utf-8", "replace"), f"{self.path}: {RUN}: {name}", RecordingError)
                    for name, text in record.entries.items()
                }
                return self._run(fields)
            if isinstance(record, Message):
                break
        raise self._wrong("metadata", f"a recording of hyt-run drive --record, with {RUN}", "none")

    def _run(self, fields: dict[str, Any]) -> Run:
        version = fields.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise self._wrong("format", f"at most {FORMAT}", f"{version}; install a newer hyt")
        run = self._checked(fields, Run, RUN)
        if sum(camera.height * camera.width * 3 for camera in run.cameras.values()) > RECORD_LIMIT:
            raise self._wrong(RUN, f"images of at most {RECORD_LIMIT} bytes", "larger ones")
        return run

    def _add_image(self, parts: _Parts, camera: str, data: bytes) -> None:
        subject = f"camera {camera[:80]!r}"
        size = self.run.cameras.get(camera)
        if size is None:
            raise self._wrong(subject, "a camera of its run", "another")
        if data.count(b",") > _IMAGE_COMMAS:
            raise self._wrong(subject, "a foxglove.CompressedImage", "another message")
        message = parse_json(data, f"{self.path}: {subject}", RecordingError)
        try:
            png = b64decode(message["data"], validate=True)
            parts.images[camera] = decode_png(png, size.height, size.width)
        except (KeyError, TypeError, binascii.Error, ValueError) as problem:
            raise self._wrong(subject, "an image as hyt-run drive --record writes it", str(problem)) from None

    def _step(self, decision: RecordedDecision, parts: _Parts) -> Step:
        subject = f"decision {decision.decision}"
        names = [d.name for d in self.run.state]
        state, action = parts.state, parts.action
        cameras = set(self.run.cameras)
        if state is None or action is None or set(parts.images) != cameras or set(decision.images) != cameras:
            raise self._wrong(subject, "its images, state and action before it", "fewer")
        if {state.decision, action.decision} != {decision.decision} or list(state.values) != names:
            raise self._wrong(subject, "the state and action of this decision", "those of another")
        names = [d.name for d in self.run.action]
        if any(list(row) != names for row in action.steps):
            raise self._wrong(subject, f"an action of {', '.join(names)}", "another")
        values = _floats([list(row.values()) for row in action.steps]).reshape(-1, len(names))
        numbers = _floats(list(state.values.values()))
        if not (np.isfinite(values).all() and np.isfinite(numbers).all()):
            raise self._wrong(subject, "numbers that float32 holds", "larger ones")
        return Step(decision, parts.images, numbers, values)

    def _parsed(self, message: Message, model: type[Model]) -> Model:
        if len(message.data) > MESSAGE_LIMIT:
            raise self._wrong(message.topic, f"at most {MESSAGE_LIMIT} bytes", f"{len(message.data)}")
        return self._checked(
            parse_json(message.data, f"{self.path}: {message.topic}", RecordingError), model, message.topic
        )

    def _checked(self, data: Any, model: type[Model], subject: str) -> Model:
        try:
            return model.model_validate(data)
        except ValidationError as problem:
            where, what = first_problem(problem)
            raise self._wrong(f"{subject}: {where}", what, "another") from None

    def _wrong(self, subject: str, expected: str, received: str) -> RecordingError:
        return RecordingError(f"{self.path}: {subject}", expected=expected, received=received)


def _floats(numbers: Sequence[object]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        return np.array(numbers, np.float32)


def find_recordings(path: Path) -> list[Path]:
    """The recordings at `path`, a file or a folder of them; raises RecordingError when there are none.

    Unfinished ones are among them, unless the finished one lies beside it.
    """
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.glob(f"*{SUFFIX}") if p.is_file())
    stems = {p.name.removesuffix(SUFFIX) for p in found}
    found = [p for p in found if not (p.name.endswith(UNFINISHED) and p.name.removesuffix(UNFINISHED) in stems)]
    if not found:
        remedy = "make one with hyt-run drive --record"
        raise RecordingError(str(path), expected="a folder of recordings", received="none in it", remedy=remedy)
    return found
