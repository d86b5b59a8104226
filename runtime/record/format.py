"""What a recording holds. One episode is one MCAP file, which Foxglove and the mcap command line open.

    DIR/episode-0001.mcap              whole: the file was closed, whatever ended the episode
    DIR/episode-0001.unfinished.mcap   its writer works still, was killed, or found the disk full

    metadata `hyt.run`   `Run`, each field a line of JSON: policy, robot, instruction, versions, names of all numbers
    /camera/NAME         foxglove.CompressedImage: the image as the policy saw it, PNG, without loss
    /state               hyt.State: the state by name, in the contract's units
    /action              hyt.Action: the chunk, each step's numbers by name, in the contract's units
    /decision            hyt.Decision, `RecordedDecision`: tokens, text, outcome, times, digests of image and state
    /thought             hyt.Thought, `RecordedThought`: a thought written beside the actions, as it grows
    /limiter             hyt.Limiter: what thinking may still spend
    /log                 foxglove.Log: instructions and thoughts as lines of text
    /episode             hyt.Episode, `Ending`: how it ended; the last message

Messages are JSON, log time is the wall clock in nanoseconds. The messages of a decision stand together, in the order
above; one whose `/decision` is missing was cut off and does not count. Float32 numbers are written with as many digits
as their double has, so that they come back bit by bit. A newer reader reads every older `format`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hyt.runtime.contract import Finite, Name, TokenId

FORMAT = 1
SUFFIX = ".mcap"
UNFINISHED = ".unfinished.mcap"
RUN = "hyt.run"
CAMERA = "/camera/"
STATE, ACTION, DECISION, THOUGHT = "/state", "/action", "/decision", "/thought"
LIMITER, LOG, EPISODE = "/limiter", "/log", "/episode"

RECORD_LIMIT = 64 * 2**20
"""Most bytes of one record of a file, compressed or not: far more than a camera's image takes."""

MESSAGE_LIMIT = 4 * 2**20
"""Most bytes of one message, those of cameras apart."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Asked = Literal["act", "think", "follow", "gate", "held"]
"""How a decision was asked for: a modality, `gate`, or act with a held thought as condition."""


class _Message(BaseModel):
    """A part of a recording; fields of a newer version are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class RecordedBundle(_Message):
    """The policy: where its bundle lay, and the SHA-256 of its manifest, which stands for every file of it."""

    path: str
    name: str
    manifest_sha256: Sha256
    quantization: str


class Dimension(_Message):
    """Name and unit of one number of the state or of an action."""

    name: Name
    unit: str


class RecordedCamera(_Message):
    """Size of a camera's images in pixels."""

    height: Annotated[int, Field(ge=1, le=4096)]
    width: Annotated[int, Field(ge=1, le=4096)]


class Run(_Message):
    """What an episode was driven with, written before its first decision.

    modality: how the drive was asked to decide; `backend`: what computed (name, threads, ...); `options`: command line
    options that decide what the policy is asked (gate threshold, ...); `started`: ISO 8601, UTC.
    """

    format: Annotated[int, Field(ge=1)]
    started: str
    episode: Annotated[int, Field(ge=1)]
    seed: Count
    robot: str
    instruction: str
    modality: str
    bundle: RecordedBundle
    backend: dict[str, Any]
    options: dict[str, Any]
    cameras: dict[str, RecordedCamera]
    state: tuple[Dimension, ...]
    action: tuple[Dimension, ...]
    step_time: Finite
    versions: dict[str, str]
    machine: dict[str, Any]


class Digest(_Message):
    """What an image was: SHA-256 of its bytes, and sums over rows and columns of pixels, which say where it changed."""

    sha256: Sha256
    rows: tuple[Count, ...]
    columns: tuple[Count, ...]


class RecordedDecision(_Message):
    """One turn of the loop, as `hyt.runtime.listener.Decision` tells it.

    tokens:        vocabulary ids of the action; None of a continuous policy
    thought_ids:   and of the thought written before it; None where it did not think before it
    gate:          the gate's probability; None without a gate
    tick, start_tick, end_tick: of the firmware, when it was observed, when the chunk starts, and when this was told
    due, began, acknowledged: seconds after the episode began
    """

    decision: Annotated[int, Field(ge=1)]
    asked: Asked
    text: str
    condition: Literal["none", "thought", "text"]
    thought_ids: tuple[TokenId, ...] | None
    tokens: tuple[TokenId, ...] | None
    probabilities: tuple[Finite, ...] | None
    gate: Finite | None
    tick: int
    start_tick: int
    end_tick: int
    late: bool
    done: bool
    success: bool
    due: Finite
    began: Finite
    acknowledged: Finite
    margin: Finite | None
    latencies: dict[str, Finite]
    frame_ages: dict[str, Finite]
    images: dict[str, Digest]
    state_sha256: Sha256


class RecordedState(_Message):
    """The state of a decision's observation."""

    decision: Annotated[int, Field(ge=1)]
    values: dict[str, Finite]


class RecordedAction(_Message):
    """The chunk of a decision: the numbers of each step, by name."""

    decision: Annotated[int, Field(ge=1)]
    step_time: Finite
    steps: tuple[dict[str, Finite], ...]


class RecordedThought(_Message):
    """A thought beside the actions, as `hyt.runtime.listener.ThoughtProgress` tells it; `observed` as `began` above."""

    number: Annotated[int, Field(ge=1)]
    decision: Annotated[int, Field(ge=0)]
    tick: int
    observed: Finite
    text: str
    ids: tuple[TokenId, ...]
    seconds: Finite
    state: Literal["writing", "finished", "cut", "dropped"]


class RecordedLimiter(_Message):
    """What thinking may still spend; None where there is no limit."""

    thoughts: Finite | None
    tokens: Finite | None
    waiting_for: str


class Ending(_Message):
    """How an episode ended: `ended` is "done", "interrupted" or the line of the error that ended it."""

    ended: str
    success: bool
    decisions: Count
    late_chunks: Count
    thoughts: Count
    seconds: Finite
