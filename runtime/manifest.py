"""The manifest of a bundle: what every part must agree on, checked on load field by field.

`manifest.json` is `Manifest.model_dump_json()`. A reader refuses a newer major version and accepts a newer minor one,
whose new fields it ignores; with its own version or an older one an unknown field is an error.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from hyt.errors import BundleError
from hyt.runtime.contract import Contract, Finite, Name, first_problem

SCHEMA_MAJOR = 1
SCHEMA_MINOR = 3
MANIFEST_NAME = "manifest.json"
SEAL_NAME = "manifest.sha256"
SIGNATURE_NAME = "manifest.sig"
LANGUAGE_NAME = "language.gguf"
VISION_NAME = "vision.gguf"
HEAD_NAME = "head.gguf"
TOKENIZER_NAME = "tokenizer.json"
REPORT_NAME = "report.json"
_OWN_NAMES = (MANIFEST_NAME, SEAL_NAME, SIGNATURE_NAME)
ONNX_NAMES = {part: f"onnx/{part}.onnx" for part in ("vision", "embed", "decoder", "output")}
ONNX_WEIGHTS = "onnx/weights.data"
REQUIRED_FILES = (LANGUAGE_NAME, VISION_NAME, TOKENIZER_NAME)

Count = Annotated[int, Field(ge=1, lt=2**31)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Line = Annotated[str, Field(min_length=1, max_length=512)]
Activations = Literal["int8", "float32"]
ACTIVATIONS: tuple[str, ...] = get_args(Activations)
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

# One or more plain path parts: no absolute path, no "..", no hidden file, nothing a shell or Windows reads otherwise.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


class _Part(BaseModel):
    """A part of the manifest; unknown fields pass only where a newer minor version brought them."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_field(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, dict) and not (info.context or {}).get("newer_minor"):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown field {str(key)[:80]!r}")
        return data


class Schema(_Part):
    """Version of the manifest's own layout."""

    major: Annotated[int, Field(ge=1)] = SCHEMA_MAJOR
    minor: Annotated[int, Field(ge=0)] = SCHEMA_MINOR


class RopeScaling(_Part):
    """Rotary angles divided by `factor`: all of them (linear), or those of long waves alone (llama3).

    llama3: a pair that turns less than `low_freq_factor` times within `original_context` positions is slowed down by
    the whole factor, one that turns more than `high_freq_factor` times is not.
    """

    kind: Literal["linear", "llama3"]
    factor: Annotated[float, Field(ge=1, le=2**20)]
    low_freq_factor: Positive | None = None
    high_freq_factor: Positive | None = None
    original_context: Count | None = None

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> RopeScaling:
        for name in ("low_freq_factor", "high_freq_factor", "original_context"):
            if (getattr(self, name) is None) == (self.kind == "llama3"):
                raise ValueError(f"{name} must {'be given' if self.kind == 'llama3' else 'not be there'}")
        if (self.low_freq_factor or 0) >= (self.high_freq_factor or 1):
            raise ValueError("low_freq_factor must be less than high_freq_factor")
        return self


class TextShapes(_Part):
    """The decoder: sizes in elements, `rope_theta` in positions, `attention_scale` multiplies q . k."""

    architecture: Name
    vocab_size: Count
    context_length: Count
    hidden_size: Count
    intermediate_size: Count
    layers: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    norm_epsilon: Positive
    rope_theta: Positive
    rope_scaling: RopeScaling | None = None
    attention_scale: Positive
    attention_softcap: Positive | None
    final_softcap: Positive | None
    sliding_window: Count | None
    prefix_attention: Literal["bidirectional", "causal"]
    tied_embeddings: bool = True  # the embedding is the output matrix too

    @property
    def embedding_scale(self) -> float:
        """What every embedding is multiplied by: Gemma's by the root of its width."""
        return math.sqrt(self.hidden_size) if self.architecture in ("gemma", "gemma2") else 1.0

    @model_validator(mode="after")
    def _heads_fit(self) -> TextShapes:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}")
        return self


class TowerShapes(_Part):
    """One vision transformer. Its sequence is class token, registers, patches; only the patches go on."""

    architecture: Name
    patch_size: Count
    hidden_size: Count
    intermediate_size: Count
    layers: Count
    heads: Count
    norm_epsilon: Positive
    image_mean: tuple[Finite, Finite, Finite]
    image_std: tuple[Positive, Positive, Positive]
    activation: Literal["gelu_tanh", "gelu_erf", "gelu_quick"] = "gelu_tanh"
    class_token: bool = False
    class_position: bool = False  # the class token has a position of its own
    registers: Annotated[int, Field(ge=0, le=256)] = 0
    patch_bias: bool = True
    pre_norm: bool = False
    post_norm: bool = True
    layer_scale: bool = False


class VisionShapes(TowerShapes):
    """The image encoder and its projector: square images of `image_size` pixels, `tokens` rows of `projection_dim`.

    `second` sees the same images, its features beside those of the first; the projector is a chain of linear maps with
    GELU in between, `projector_widths` are the widths inside it.
    """

    image_size: Count
    tokens: Count
    projection_dim: Count
    projector_widths: Annotated[tuple[Count, ...], Field(max_length=2)] = ()
    second: TowerShapes | None = None

    @property
    def towers(self) -> tuple[TowerShapes, ...]:
        """All vision transformers in their order."""
        return (self,) if self.second is None else (self, self.second)

    @property
    def feature_size(self) -> int:
        """Width of the features that go into the projector."""
        return sum(tower.hidden_size for tower in self.towers)


class Shapes(_Part):
    """Every shape of the model."""

    text: TextShapes
    vision: VisionShapes


class Quantization(_Part):
    """What was asked for, and how many tensors have which type in the end, per GGUF file.

    padded and fallbacks say for a person where rows were padded with zeros, and where another type was taken.
    method:  how weights were rounded: by themselves, by the importance of their columns, or by GPTQ
    """

    requested: Name
    types: dict[str, dict[str, Annotated[int, Field(ge=1)]]]
    padded: tuple[Line, ...] = ()
    fallbacks: tuple[Line, ...] = ()
    method: Literal["plain", "importance", "gptq"] = "plain"


class OnnxGraphs(_Part):
    """The graphs in `onnx/`, what they are made for, and the decoder's state: output by input that it becomes next.

    in_place:  an output may be the very memory of its input
    by_cell:   the state is a cache of `cells` positions, of which those behind the last one fed are never read; without
               it a state is as a whole what a call leaves (a recurrent policy)
    activations: what quantised weights are multiplied with
    """

    variant: Name
    state: Annotated[dict[Name, Name], Field(max_length=2048)]
    cells: Count
    in_place: bool = False
    by_cell: bool = True
    activations: Activations = "int8"


class FileEntry(_Part):
    """Size in bytes and SHA-256 (hex) of one file of the bundle."""

    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


class Provenance(_Part):
    """Where the bundle comes from; no time and no path, so that the same export gives the same bytes."""

    tool: Name
    version: Name
    checkpoint_sha256: Sha256
    command: str


class Signer(_Part):
    """Who signed the manifest: an Ed25519 public key, its 32 bytes in hex; the signature stands in `manifest.sig`."""

    algorithm: Literal["ed25519"] = "ed25519"
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(_Part):
    """The content of `manifest.json`."""

    schema_version: Schema = Schema()
    name: Name
    family: Name
    contract: Contract
    shapes: Shapes
    image_tokens: dict[str, Count]
    quantization: Quantization
    files: dict[str, FileEntry]
    provenance: Provenance
    onnx: OnnxGraphs | None = None
    signed_by: Signer | None = None
    signature: Annotated[None, Field(exclude=True)] = None  # never anything else, and only up to schema 1.1

    @field_validator("files")
    @classmethod
    def _names_stay_inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            if len(name) > 255 or not _FILE_NAME.fullmatch(name) or name in _OWN_NAMES:
                raise ValueError(f"{name[:80]!r} is no file name inside the bundle")
        missing = [name for name in REQUIRED_FILES if name not in files]
        if missing:
            raise ValueError(f"{missing[0]} is not listed")
        return files

    @model_validator(mode="after")
    def _contract_fits_shapes(self) -> Manifest:
        check_fit(self.contract, self.shapes, self.image_tokens)
        if self.contract.action.kind == "continuous" and HEAD_NAME not in self.files:
            raise ValueError(f"{HEAD_NAME} is not listed: a continuous action needs its head")
        names = () if self.onnx is None else (*ONNX_NAMES.values(), ONNX_WEIGHTS)
        if missing := [name for name in names if name not in self.files]:
            raise ValueError(f"{missing[0]} is not listed: onnx needs it")
        if self.contract.gate is not None and HEAD_NAME not in self.files:
            raise ValueError(f"contract.gate needs {HEAD_NAME}, which is not listed")
        if self.contract.draft is not None and HEAD_NAME not in self.files:
            raise ValueError(f"contract.draft needs {HEAD_NAME}, which is not listed")
        return self

    def identity(self) -> str:
        """Of weights, tokenizer and contract: equal for policies that answer alike, whatever their reports say."""
        files = {name: file.sha256 for name, file in self.files.items() if name != REPORT_NAME}
        parts = [sorted(files.items()), self.contract.model_dump(mode="json", exclude={"draft"})]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def positions(self) -> int:
        """Largest number of positions that one answer takes."""
        return answer_positions(self.contract, self.image_tokens)


def answer_positions(contract: Contract, image_tokens: Mapping[str, int]) -> int:
    """Largest number of positions of one answer: prefix, tag, thought with its end, action tokens or slots."""
    prefix = sum(image_tokens.values()) + contract.max_text_positions()
    thought = 0 if contract.thought is None else contract.thought.max_tokens + 1
    return prefix + 1 + thought + contract.action.size


def image_tokens_of(contract: Contract, vision: VisionShapes) -> dict[str, int]:
    """Image tokens of each camera, of all its frames."""
    return {camera.name: camera.frames * vision.tokens for camera in contract.cameras}


def check_fit(contract: Contract, shapes: Shapes, image_tokens: Mapping[str, int]) -> None:
    """Raise ValueError where a contract and a model do not fit: vocabulary, image sizes, normalisation, context."""
    text, vision = shapes.text, shapes.vision
    if contract.vocab_size != text.vocab_size:
        raise ValueError(f"contract.vocab_size {contract.vocab_size} is not the model's {text.vocab_size}")
    if vision.projection_dim != text.hidden_size:
        raise ValueError(f"vision.projection_dim {vision.projection_dim} is not text.hidden_size {text.hidden_size}")
    for camera in contract.cameras:
        if (camera.height, camera.width) != (vision.image_size, vision.image_size):
            raise ValueError(
                f"camera {camera.name!r} has {camera.height}x{camera.width} pixels, the model "
                f"{vision.image_size}x{vision.image_size}"
            )
        if camera.mean != vision.image_mean or camera.std != vision.image_std:
            raise ValueError(f"camera {camera.name!r}: mean and std are not the model's")
    if dict(image_tokens) != image_tokens_of(contract, vision):
        raise ValueError(f"image_tokens must give {vision.tokens} tokens for each frame of each camera and no other")
    positions = answer_positions(contract, image_tokens)
    if positions > text.context_length:
        raise ValueError(f"prompt, thought and action take {positions} positions, the model has {text.context_length}")


def parse_manifest(data: Any, source: str) -> Manifest:
    """Check parsed JSON as a manifest; raises BundleError naming the first bad field, or both versions if newer."""
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, dict) or not all(type(version.get(key)) is int for key in ("major", "minor")):
        raise BundleError(
            f"{source}: field schema_version",
            expected="an object with integers major and minor",
            received=repr(version)[:80],
            remedy="export the checkpoint again",
        )
    major, minor = version["major"], version["minor"]
    if major != SCHEMA_MAJOR:
        raise BundleError(
            f"{source}: field schema_version",
            expected=f"schema {SCHEMA_MAJOR}.x",
            received=f"schema {major}.{minor}",
            remedy="install a newer hyt"
            if major > SCHEMA_MAJOR
            else "export the checkpoint again with this version of hyt",
        )
    try:
        return Manifest.model_validate(data, context={"newer_minor": minor > SCHEMA_MINOR})
    except ValidationError as problem:
        field, message = first_problem(problem)
        raise BundleError(
            f"{source}: field {field}",
            expected=f"a valid manifest of schema {SCHEMA_MAJOR}.{SCHEMA_MINOR}",
            received=message,
            remedy="export the checkpoint again",
        ) from None
