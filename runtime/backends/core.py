"""The C++ core (`hyt.runtime._core`) as a backend: opens a bundle in it and turns its errors into ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hyt.errors import BundleError, HytError, InputError, MissingDependencyError, PolicyError
from hyt.runtime.backends.base import Answer, Decoded, Regressed, Seconds, Written
from hyt.runtime.bundle import Bundle
from hyt.runtime.manifest import ACTIVATIONS

if TYPE_CHECKING:
    from hyt.runtime import _core

Result = TypeVar("Result")

KV_TYPES = ("f32", "f16")
MOST_THREADS = 512
"""As many as ggml takes."""
BUILD_FOR_DEVICE = (
    'CMAKE_ARGS="-DGGML_CUDA=on" pip install --no-cache-dir --force-reinstall llama-cpp-python==0.3.36 '
    "(for Vulkan -DGGML_VULKAN=on), then install hyt again (docs/jetson.md)"
)
"""How another device than the CPU comes into the installed ggml."""
SPECULATE = ("auto", "off", "last", "draft")
"""Where guesses of action tokens come from: measured, nowhere, the last action, the policy's draft head."""


class CoreBackend:
    """One session of the core with the policy of one bundle.

    threads: 0 takes all physical cores but one, at most 8; kv_type: f32 or f16, of keys and values; mapped: leave large
    matrices in their files; activations: int8 (also None) or float32, what quantised weights are multiplied with;
    own_kernels: False composes everything from ggml's operators (see `watch`); without: speed-ups to leave out, by the
    names that the core gives them (docs/performance.md); speculate: how action tokens are guessed, one of SPECULATE
    (see `hyt.load`); device: cpu, another ggml backend (cuda, vulkan) or a ggml device, by name. Raises BundleError
    when the core cannot read the bundle's weights, InputError for what an argument cannot be and a device that is not
    there or lacks an operator, MissingDependencyError when the core itself cannot be loaded.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 0,
        *,
        kv_type: str = "f32",
        mapped: bool = False,
        activations: str | None = None,
        own_kernels: bool = True,
        without: Sequence[str] = (),
        speculate: str = "auto",
        device: str = "cpu",
    ) -> None:
        if not 0 <= threads <= MOST_THREADS:
            expected = f"0 (all physical cores but one) to {MOST_THREADS}"
            raise InputError("threads", expected=expected, received=str(threads))
        if kv_type not in KV_TYPES:
            raise InputError("kv type", expected=f"one of {', '.join(KV_TYPES)}", received=repr(kv_type))
        if activations not in (None, *ACTIVATIONS):
            raise InputError("activations", expected=f"one of {', '.join(ACTIVATIONS)}", received=repr(activations))
        if speculate not in SPECULATE:
            raise InputError("speculate", expected=f"one of {', '.join(SPECULATE)}", received=repr(speculate))
        try:
            from hyt.runtime import _core
        except ImportError as problem:  # not built, or without the ggml libraries of llama-cpp-python
            raise MissingDependencyError(
                "the C++ core hyt.runtime._core", received=str(problem), remedy="install hyt and llama-cpp-python again"
            ) from None
        if unknown := [name for name in without if name not in _core.cuts()]:
            expected = f"speed-ups of {', '.join(_core.cuts())}"
            raise InputError("without", expected=expected, received=repr(unknown[0]))
        try:
            device = "cpu" if device.lower() == "cpu" else _core.find_device(device)
        except _core.DeviceError as problem:
            raise _no_device(problem, BUILD_FOR_DEVICE) from None
        if mapped and device != "cpu":
            expected = f"weights that are copied to device {device}"
            raise InputError("mapped", expected=expected, received="weights left in the bundle's files")
        self.bundle = bundle
        contract = bundle.contract
        action = contract.action
        thought = contract.thought
        continuous = action.kind == "continuous"
        if speculate == "draft" and contract.draft is None:
            raise InputError(
                f"policy {contract.name!r}",
                expected="a draft head for speculate 'draft'",
                received="none",
                remedy="train one with hyt-train draft, or take auto",
            )
        try:
            session = _core.Session(
                str(bundle.language),
                str(bundle.vision),
                threads=threads,
                vocab_size=contract.vocab_size,
                image_count=contract.image_count,
                max_text_tokens=contract.max_text_positions(),
                max_thought_tokens=0 if thought is None else thought.max_tokens,
                action_tokens=action.tokens,
                action_token_ids=list(action.token_ids),
                thought_suppressed_ids=[] if thought is None else list(thought.suppressed_ids),
                thought_end_id=0 if thought is None else thought.end_id,
                own_kernels=own_kernels,
                head=str(bundle.head or ""),
                action_steps=action.steps if continuous else 0,
                action_dimensions=len(action.dimensions) if continuous else 0,
                gate_units=contract.gate.units if contract.gate else 0,
                kv_type=kv_type,
                activations=activations or ACTIVATIONS[0],
                mapped_weights=mapped,
                without=list(without),
                draft_units=contract.draft.units if contract.draft else 0,
                speculate=speculate,
                device=device,
            )
        except _core.DeviceError as problem:
            raise _no_device(problem, "load the policy on the device cpu") from None
        except _core.CoreError as problem:
            raise BundleError(
                f"{bundle.path}: {problem.subject}",
                expected=problem.expected,
                received=problem.received,
                remedy="export the checkpoint again",
            ) from None
        self._session: _core.Session | None = session
        self._error = _core.CoreError
        # The core times vision and prefill for act alone; a thought's are taken here.
        self._vision = self._prefill = 0.0
        self._thought = (0.0, 0.0)

    def observe(self, images: Sequence[NDArray[np.uint8]], layout: NDArray[np.int32]) -> None:
        """Encode the images, uint8 (height, width, 3), and note the prefix, int32 (positions,)."""
        start = time.monotonic()
        self._call(lambda session: session.observe(list(images), layout))
        self._vision, self._prefill = time.monotonic() - start, 0.0

    def act(self, tag: int) -> Answer:
        """Decode the action behind the prefix and the tag."""
        answer = _answer(self._call(lambda session: session.act(tag)))
        self._prefill = answer.seconds.prefill
        return answer

    def act_state(self) -> NDArray[np.float32]:
        """What a gate judges of the latest act, float32 (hidden,)."""
        return self._call(lambda session: session.act_state())

    def think_begin(self, tag: int) -> None:
        """Open a thought on the current prefix."""
        start = time.monotonic()
        self._call(lambda session: session.think_begin(tag))
        self._thought = (self._vision, self._prefill or time.monotonic() - start)

    def think(self, until: float | None, max_steps: int | None) -> Written:
        """Write on at the open thought."""
        result = self._call(lambda session: session.think(until, max_steps))
        seconds = Seconds(*self._thought, result.timings["decode"])
        return Written(np.asarray(result.tokens, dtype=np.int32), result.finished, seconds)

    def act_after_thought(self) -> Answer:
        """Decode the action behind the finished thought."""
        answer = _answer(self._call(lambda session: session.act_after_thought()))
        return replace(answer, seconds=Seconds(*self._thought, answer.seconds.decode))

    def act_with_thought(self, tag: int, thought: NDArray[np.int32]) -> Answer:
        """Decode the action behind a given thought."""
        return _answer(self._call(lambda session: session.act_with_thought(tag, thought)))

    def follow(self, layout: NDArray[np.int32], tag: int) -> Answer:
        """Decode the action behind another prefix on the same images."""
        return _answer(self._call(lambda session: session.follow(layout, tag)))

    def logits(self, layout: NDArray[np.int32], tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Logits, float32 (tokens, vocabulary), at each of `tokens` fed behind a prefix on the observed images."""
        return self._call(lambda session: session.logits(layout, None, tokens))

    def watch(self, function: Callable[[str, NDArray[np.float32]], None] | None) -> None:
        """Call `function(name, input)` before every product with a weight matrix, for calibration; None ends that.

        input: float32 (rows, columns). Only a backend without our own kernels tells of all products.
        """
        self._call(lambda session: session.watch(function))

    def profile(self, on: bool) -> None:
        """Add up the time of each operator from now on, which then run one by one; False: no more."""
        self._call(lambda session: session.profile(on))

    def profiled(self) -> dict[str, float]:
        """Seconds by "phase: operator" since the latest `profile(True)`."""
        return self._call(lambda session: session.profiled())

    def info(self) -> Mapping[str, Any]:
        """Facts of the session as the core tells them."""
        return dict(self._call(lambda session: session.info()))

    def close(self) -> None:
        """Free the session's memory."""
        self._session = None

    def _call(self, call: Callable[[_core.Session], Result]) -> Result:
        if self._session is None:
            raise HytError("policy", expected="an open policy", received="a closed one", remedy="load it again")
        try:
            return call(self._session)
        except self._error as problem:
            subject = f"core: {problem.subject}"
            raise PolicyError(subject, expected=problem.expected, received=problem.received) from None


def _no_device(problem: _core.DeviceError, remedy: str) -> InputError:
    return InputError(problem.subject, expected=problem.expected, received=problem.received, remedy=remedy)


def _answer(result: _core.ActResult) -> Answer:
    seconds = Seconds(result.timings["vision"], result.timings["prefill"], result.timings["decode"])
    probability = result.think_probability
    if result.values.size:
        return Regressed(np.asarray(result.values, dtype=np.float32), seconds, probability)
    tokens = np.asarray(result.tokens, dtype=np.int32)
    return Decoded(tokens, np.asarray(result.probabilities, dtype=np.float32), seconds, probability)
