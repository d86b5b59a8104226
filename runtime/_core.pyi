"""Types of the compiled core. Shapes, units and errors are told in csrc/include/hyt; every error is a CoreError."""

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

class CoreError(Exception):
    """One line: subject, expected, received."""

    subject: str
    expected: str
    received: str

class DeviceError(CoreError):
    """There is no such device, or it lacks what a policy needs, or it failed."""

class Device(TypedDict):
    """What ggml can compute on: "CUDA0", the chip's name, "CUDA", its memory."""

    name: str
    description: str
    backend: str
    free_bytes: int
    total_bytes: int

class Timings(TypedDict):
    """Seconds; of an observation (vision, prefill), of a call (decode), and their sum."""

    vision: float
    prefill: float
    decode: float
    total: float

class ActResult:
    """Action tokens int32 (action_tokens,), and how sure each was: float32, softmax over the action tokens.

    Of a continuous policy in their place `values`, float32 (action_steps * action_dimensions,), normalised.
    """

    @property
    def tokens(self) -> NDArray[np.int32]: ...
    @property
    def probabilities(self) -> NDArray[np.float32]: ...
    @property
    def values(self) -> NDArray[np.float32]: ...
    @property
    def think_probability(self) -> float | None:
        """What the gate says, in (0, 1); of act alone, None without a gate."""

    @property
    def timings(self) -> Timings: ...

class ThinkResult:
    """The thought so far, int32, without its end token."""

    @property
    def tokens(self) -> NDArray[np.int32]: ...
    @property
    def finished(self) -> bool: ...
    @property
    def timings(self) -> Timings: ...

class Session:
    """One policy's model and caches. Calls release the GIL; calls from several threads wait for each other."""

    def __init__(
        self,
        language: str,
        vision: str,
        *,
        threads: int = 0,
        image_count: int,
        max_text_tokens: int,
        max_thought_tokens: int,
        action_tokens: int,
        action_token_ids: Sequence[int],
        thought_suppressed_ids: Sequence[int],
        thought_end_id: int,
        vocab_size: int = 0,
        kv_type: str = "f32",
        activations: str = "int8",
        own_kernels: bool = True,
        head: str = "",
        action_steps: int = 0,
        action_dimensions: int = 0,
        gate_units: int = 0,
        mapped_weights: bool = False,
        without: Sequence[str] = (),
        draft_units: int = 0,
        speculate: str = "off",
        speculation_rows: int = 8,
        device: str = "cpu",
        foreign: bool = False,
    ) -> None:
        """Load the files. `threads` 0: all physical cores but one, at most 8; `vocab_size` 0: the embedding's rows.

        A continuous policy has `action_steps` and `action_dimensions`, the file `head`, and no action tokens; one with
        a gate has `gate_units` and the file `head`. `kv_type` is f32 or f16; `activations`, what quantised weights are
        multiplied with, int8 or float32. With `mapped_weights` large matrices stay in their files, which must not
        change meanwhile. `without` names speed-ups of cuts() to leave out. A policy with a draft head has `draft_units`
        and the file `head`; `speculate` is off, auto, last or draft, `speculation_rows` 1 to 8: tokens that one pass
        feeds at most. `device` is as find_device() takes it: on another than the CPU, and with `foreign` on the CPU
        too, for tests, all graphs are of ggml's operators.
        """

    def observe(self, images: list[NDArray[np.uint8]], layout: NDArray[np.int32]) -> None:
        """Encode images (height, width, 3); layout holds token ids, and -1 - i where image i stands."""

    def act(self, tag: int) -> ActResult:
        """Action tokens behind `tag` on the current observation."""

    def suppose(self, tokens: NDArray[np.int32]) -> None:
        """Guess the next action to be these tokens, (action_tokens,); only its time depends on them."""

    def act_state(self) -> NDArray[np.float32]:
        """The decoder's output at the tag of the latest act, (hidden): what a gate judges. Empty before one."""

    def think_begin(self, tag: int) -> None:
        """Open a thought on the current observation; it outlives later observations."""

    def think(self, until: float | None = None, max_steps: int | None = None) -> ThinkResult:
        """Go on thinking to the thought's end, to `until` (time.monotonic) or for `max_steps` tokens."""

    def act_after_thought(self) -> ActResult:
        """Action tokens behind the finished thought."""

    def act_with_thought(self, tag: int, thought: NDArray[np.int32]) -> ActResult:
        """Action tokens behind a given thought, read again with the current observation."""

    def follow(self, layout: NDArray[np.int32], tag: int) -> ActResult:
        """Action tokens behind another prefix over the same images."""

    def logits(
        self, layout: NDArray[np.int32], images: list[NDArray[np.uint8]] | None, tokens: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """For parity: logits (tokens, vocabulary) at each of `tokens`, fed one by one behind the prefix."""

    def watch(self, function: Callable[[str, NDArray[np.float32]], None] | None) -> None:
        """For calibration: call `function(name, input)` before every product with a weight matrix; None ends that.

        name is the GGUF name of the matrix (of stacked ones the first), input float32 (rows, columns). Only a session
        with own_kernels=False tells of all products. Computing is slow meanwhile.
        """

    def profile(self, on: bool) -> None:
        """From now on add up the time of each operator, from zero, running them one by one; False: no more."""

    def profiled(self) -> dict[str, float]:
        """Seconds by "phase: operator" since the latest profile(True)."""

    def info(self) -> dict[str, object]:
        """Shapes, bytes of weights, cache and workspace, decode passes through each head, threads, backend, device."""

def cuts() -> list[str]:
    """Names of the speed-ups that can be left out one by one (csrc/include/hyt/cuts.h)."""

def quantization_types() -> list[str]:
    """Names of the weight types that quantize() writes."""

def quantization_block(type: str) -> int:
    """Elements of a row that one block of the type holds."""

def quantize(
    type: str, values: NDArray[np.float32], importance: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """(rows, columns) to the type's bytes; importance (columns,) weighs each column's squared error."""

def dequantize(type: str, bytes: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.float32]:
    """The inverse of quantize."""

def time_product(
    kernels: str, columns: int, rows: int, count: int, threads: int = 1, repeat: int = 20
) -> tuple[float, float, float, int]:
    """Best seconds to quantise `count` columns, to multiply them with an INT4 (columns, rows) matrix, and to read that.

    The fourth is the matrix' bytes. `kernels` is one of system()["kernels"]; empty: the fastest.
    """

def devices() -> list[Device]:
    """All devices that the installed ggml has, the CPU among them."""

def find_device(name: str) -> str:
    """ggml's name of the device of that name, or of the first of that backend: "CUDA0" of "cuda"; else DeviceError."""

def system() -> dict[str, object]:
    """ggml's version, its devices by name, the CPU's features, physical cores, instruction sets of our kernels."""
