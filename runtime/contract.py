"""The contract between training, export and runtime: what a policy sees, says and means, checked field by field.

A checkpoint carries it as `hyt.json`; a bundle's manifest embeds the same object. Every length, id and unit that two
parts must agree on stands here once, and `Contract` refuses what does not fit together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from hyt.errors import CheckpointError, HytError

CONTRACT_VERSION = 1

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=128)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Camera(_Strict):
    """One camera: uint8 RGB images of exactly (height, width, 3); pixels are normalised as (x / 255 - mean) / std.

    A policy with a memory is shown the newest `frames` images, `frame_stride` decisions apart, the oldest first.
    """

    name: Name
    height: Annotated[int, Field(ge=1, le=4096)]
    width: Annotated[int, Field(ge=1, le=4096)]
    frames: Annotated[int, Field(ge=1, le=16)] = 1
    frame_stride: Annotated[int, Field(ge=1, le=64)] = 1
    mean: tuple[Finite, Finite, Finite] = (0.5, 0.5, 0.5)
    std: tuple[Finite, Finite, Finite] = (0.5, 0.5, 0.5)

    @model_validator(mode="after")
    def _std_is_positive(self) -> Camera:
        if min(self.std) <= 0:
            raise ValueError("camera std must be positive")
        return self

    @model_serializer(mode="wrap")
    def _without_frames(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Readers that know no frames read whoever needs none.
        data: dict[str, Any] = serialize(self)
        return {k: v for k, v in data.items() if not (k in ("frames", "frame_stride") and v == 1)}

    @property
    def shape(self) -> tuple[int, ...]:
        """What an observation holds of it: (height, width, 3), or (frames, height, width, 3) of several."""
        image = (self.height, self.width, 3)
        return image if self.frames == 1 else (self.frames, *image)


class StateDimension(_Strict):
    """One dimension of the state vector, clipped to [low, high] in `unit` before it is binned."""

    name: Name
    unit: str
    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> StateDimension:
        if not self.low < self.high:
            raise ValueError(f"state dimension {self.name!r}: low must be below high")
        return self


class State(_Strict):
    """The state as text tokens: value x -> bin floor((x - low) / (high - low) * bins) -> id first_token_id + bin."""

    dimensions: tuple[StateDimension, ...]
    bins: Annotated[int, Field(ge=2, le=65536)]
    first_token_id: TokenId


class ImageSegment(_Strict):
    """The image tokens of one camera, those of its oldest frame first."""

    kind: Literal["image"] = "image"
    camera: Name


class TokenSegment(_Strict):
    """One fixed token."""

    kind: Literal["token"] = "token"
    id: TokenId


class StateSegment(_Strict):
    """One token per state dimension."""

    kind: Literal["state"] = "state"


class TextSegment(_Strict):
    """The tokenised instruction (act, think) or sub-instruction (follow).

    It stands in `template` at {}, and the whole is tokenised as one text: tokens may reach over the seam. `lowercase`
    writes the instruction in small letters first, as the policy was trained.
    """

    kind: Literal["text"] = "text"
    max_tokens: Annotated[int, Field(ge=1, le=4096)]
    template: Annotated[str, Field(max_length=4096)] = "{}"
    lowercase: bool = False

    @model_validator(mode="after")
    def _template_has_one_place(self) -> TextSegment:
        if self.template.count("{}") != 1:
            raise ValueError("a text template must have exactly one {}")
        return self

    def fill(self, text: str) -> tuple[str, int]:
        """The template with the text in its place, and where it begins."""
        return self.template.replace("{}", self.words(text)), self.template.index("{}")

    def words(self, text: str) -> str:
        """The text as it stands in the template."""
        return text.lower() if self.lowercase else text


Segment = Annotated[ImageSegment | TokenSegment | StateSegment | TextSegment, Field(discriminator="kind")]


class Modalities(_Strict):
    """The tag of each modality (HyT, arXiv 2510.00600): it is fed as the first position after the prefix.

    A policy that was not trained on thoughts has `act` alone: the last token of its prompt, whatever that is.
    """

    act: TokenId
    think: TokenId | None = None
    follow: TokenId | None = None

    def named(self) -> dict[str, int]:
        """The tags there are, by modality."""
        tags = {"act": self.act, "think": self.think, "follow": self.follow}
        return {name: tag for name, tag in tags.items() if tag is not None}


class Thought(_Strict):
    """What a thought may be: text tokens up to `end_id`, at most `max_tokens`; `suppressed_ids` are never chosen."""

    end_id: TokenId
    max_tokens: Annotated[int, Field(ge=1, le=4096)]
    suppressed_ids: tuple[TokenId, ...]


class ActionDimension(_Strict):
    """One action dimension: bins span [low, high] in `unit`; `semantics` says what the number means to the robot.

    low and high are equal for a dimension that never moved in training.
    """

    name: Name
    unit: str
    low: Finite
    high: Finite
    semantics: Literal["absolute", "delta", "velocity"]
    frame: str
    relative_to: Literal["none", "observed_state", "last_setpoint"] = "none"

    @model_validator(mode="after")
    def _fits_together(self) -> ActionDimension:
        if not self.low <= self.high:
            raise ValueError(f"action dimension {self.name!r}: low must not be above high")
        if (self.semantics == "delta") != (self.relative_to != "none"):
            raise ValueError(f"action dimension {self.name!r}: a delta, and only a delta, names what it is relative to")
        return self


class Action(_Strict):
    """A chunk of (steps, dimensions) normalised numbers, row-major, and how the policy says them.

    A number x in [-1, 1] is low + (x + 1) / 2 * (high - low) in the robot's unit. Each step lasts `step_time` seconds.

    kind "tokens": the policy writes one action token after the other; token `token_ids[b]` stands for the number
    `bin_centers[b]`. Neighbours may share a center, as OpenVLA's last two of 256 do.

    kind "continuous" (no token ids, no centers): behind its last token (the tag, or the thought's end) the policy is
    fed one *action slot* for each number: a learned embedding, no token. That last token and all slots see the prefix,
    whatever was written, and each other in both directions; a head turns the slots' final hidden states into all
    numbers of the chunk in the same pass (see `hyt.training.continuous`), and what leaves [-1, 1] is clipped to it.
    """

    kind: Literal["tokens", "continuous"] = "tokens"
    token_ids: tuple[TokenId, ...] = ()
    bin_centers: tuple[Finite, ...] = ()
    steps: Annotated[int, Field(ge=1, le=1024)]
    step_time: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]
    dimensions: tuple[ActionDimension, ...]

    @model_validator(mode="after")
    def _bins_fit(self) -> Action:
        if not self.dimensions:
            raise ValueError("action: at least one dimension")
        if self.kind == "continuous":
            if self.token_ids or self.bin_centers:
                raise ValueError("action: a continuous action has no token_ids and no bin_centers")
            return self
        if len(self.token_ids) < 2 or len(self.token_ids) != len(self.bin_centers):
            raise ValueError(
                f"action: expected one bin center per token id (at least 2), received {len(self.token_ids)} ids and "
                f"{len(self.bin_centers)} centers"
            )
        if len(set(self.token_ids)) != len(self.token_ids):
            raise ValueError("action: token_ids must differ from each other")
        if any(b < a for a, b in zip(self.bin_centers, self.bin_centers[1:], strict=False)):
            raise ValueError("action: bin_centers must not decrease")
        return self

    @property
    def size(self) -> int:
        """Numbers in a chunk, and so the positions that it takes: tokens or slots."""
        return self.steps * len(self.dimensions)

    @property
    def tokens(self) -> int:
        """Number of action tokens in a chunk; 0 of a continuous one."""
        return self.size if self.kind == "tokens" else 0


class Gate(_Strict):
    """When to think: a network of `units` hidden units gives the probability that thinking would better the action.

    It judges the decoder's output at the act tag (`csrc/include/hyt/gate.h`), so act computes it on its way. A policy
    that is left to its gate thinks where the probability is at least `threshold`: 0 is always, 1 is never.
    """

    units: Annotated[int, Field(ge=1, le=4096)]
    threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Draft(_Strict):
    """The draft head: one hidden layer of `units` guesses the rest of an action (`csrc/include/hyt/draft_head.h`).

    Guesses are checked before they are used: it changes no answer, only its time.
    """

    units: Annotated[int, Field(ge=1, le=4096)]


@dataclass(frozen=True)
class Hybrid:
    """The tag of each modality, the end of a thought and its greatest length, of a policy that has them all."""

    act: int
    think: int
    follow: int
    end: int
    max_thought_tokens: int


class Contract(_Strict):
    """All that training, export and runtime must agree on; the content of `hyt.json`."""

    version: Literal[1] = 1
    name: Name
    vocab_size: Annotated[int, Field(ge=2, lt=2**31)]
    cameras: tuple[Camera, ...]
    state: State | None
    prompt: tuple[Segment, ...]
    modalities: Modalities
    thought: Thought | None = None
    action: Action
    gate: Gate | None = None
    draft: Draft | None = None
    instructions: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Contract:
        cameras = [c.name for c in self.cameras]
        if len(set(cameras)) != len(cameras):
            raise ValueError("cameras must have different names")
        used = [s.camera for s in self.prompt if isinstance(s, ImageSegment)]
        if sorted(used) != sorted(cameras):
            raise ValueError(f"prompt must use each camera once: cameras {cameras}, prompt {used}")
        if sum(isinstance(s, TextSegment) for s in self.prompt) != 1:
            raise ValueError("prompt must have exactly one text segment")
        if sum(isinstance(s, StateSegment) for s in self.prompt) != (0 if self.state is None else 1):
            raise ValueError("prompt must have one state segment if, and only if, there is a state")
        self._ids_fit()
        return self

    def _ids_fit(self) -> None:
        if (self.thought is None) != (self.modalities.think is None):
            raise ValueError("there must be a thought if, and only if, there is a tag for think")
        if self.gate is not None and self.thought is None:
            raise ValueError("a gate decides when to think: there must be a thought")
        if self.draft is not None and self.action.tokens < 2:
            raise ValueError("draft guesses the later action tokens: there must be at least 2")
        tags = [*self.modalities.named().values(), *([] if self.thought is None else [self.thought.end_id])]
        if len(set(tags)) != len(tags):
            raise ValueError("modality tags and thought end must differ from each other")
        actions = set(self.action.token_ids)
        if actions & set(tags):
            raise ValueError("action tokens must differ from the modality tags and the thought end")
        suppressed = set() if self.thought is None else set(self.thought.suppressed_ids)
        if self.thought is not None and not actions <= suppressed:
            raise ValueError("thought.suppressed_ids must hold every action token: a thought never contains actions")
        if self.thought is not None and self.thought.end_id in suppressed:
            raise ValueError("thought.end_id must not be suppressed")
        ids = [*tags, *actions, *suppressed, *(s.id for s in self.prompt if isinstance(s, TokenSegment))]
        if self.state is not None:
            ids.append(self.state.first_token_id + self.state.bins - 1)
        if max(ids) >= self.vocab_size:
            raise ValueError(f"every token id must be below vocab_size {self.vocab_size}, received {max(ids)}")

    def hybrid(self) -> Hybrid:
        """The tags of a policy that acts, thinks and follows; raises CheckpointError for one that does not."""
        tags, thought = self.modalities, self.thought
        if thought is None or tags.think is None or tags.follow is None:
            raise CheckpointError(
                f"contract {self.name!r}", expected="tags for act, think and follow", received=", ".join(tags.named())
            )
        return Hybrid(tags.act, tags.think, tags.follow, thought.end_id, thought.max_tokens)

    @property
    def image_count(self) -> int:
        """Images of an observation: all frames of all cameras."""
        return sum(camera.frames for camera in self.cameras)

    def frames(self) -> list[tuple[str, int]]:
        """The images in the order of the prompt: camera and frame, 0 being the oldest."""
        count = {camera.name: camera.frames for camera in self.cameras}
        used = [segment.camera for segment in self.prompt if isinstance(segment, ImageSegment)]
        return [(name, frame) for name in used for frame in range(count[name])]

    def text_segment(self) -> TextSegment:
        """The prompt's one text segment."""
        return next(segment for segment in self.prompt if isinstance(segment, TextSegment))

    def max_text_positions(self) -> int:
        """Largest number of prefix positions that are not image tokens."""
        count = 0
        for segment in self.prompt:
            if isinstance(segment, TextSegment):
                count += segment.max_tokens
            elif isinstance(segment, StateSegment):
                count += len(self.state.dimensions) if self.state else 0
            elif isinstance(segment, TokenSegment):
                count += 1
        return count


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The first problem pydantic found, as (dotted field, message)."""
    problem = error.errors(include_url=False)[0]
    message = str(problem["msg"]).removeprefix("Value error, ")
    return ".".join(str(part) for part in problem["loc"]) or "contract", message


def parse_contract(data: Any, source: str, error: type[HytError] = CheckpointError) -> Contract:
    """Check parsed JSON as a contract; raises `error` that names the first bad field of `source`."""
    try:
        return Contract.model_validate(data)
    except ValidationError as problem:
        field, message = first_problem(problem)
        raise error(f"{source}: field {field}", expected="a valid HyT contract", received=message) from None


def read_contract(path: Path) -> Contract:
    """Read `hyt.json`; raises CheckpointError when it is missing, is no JSON, or does not fit together."""
    import json

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}", expected="a hyt.json beside the weights", received="no such file", remedy="name a HyT checkpoint"
        ) from None
    except (UnicodeDecodeError, ValueError) as problem:
        raise CheckpointError(f"{path}", expected="JSON", received=str(problem)) from None
    return parse_contract(data, str(path))


def bin_of(value: float, dimension: StateDimension, bins: int) -> int:
    """Bin of one state value; raises ValueError when it is not finite."""
    if not math.isfinite(value):
        raise ValueError(f"state {dimension.name!r} is {value}")
    position = (value - dimension.low) / (dimension.high - dimension.low)
    return min(max(math.floor(position * bins), 0), bins - 1)
