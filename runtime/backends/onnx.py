"""onnxruntime as a backend: the graphs of a bundle's folder `onnx/`, driven as the core drives its own.

images, layout -> vision.onnx, embed.onnx -> decoder.onnx (prefill) -> live prefix
act, follow       the tag, then each action token, through embed.onnx and decoder.onnx; the prefix is kept
think             a copy of the prefix; output.onnx chooses each token
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyt.errors import BundleError, HytError, InputError
from hyt.runtime.backends.base import Answer, Decoded, Regressed, Seconds, Written
from hyt.runtime.backends.onnx_decoder import Decoder
from hyt.runtime.backends.onnx_heads import ActionHead, Gate, HeadFile
from hyt.runtime.backends.onnx_language import Language
from hyt.runtime.backends.onnx_layout import Layout, check_images, read_layout
from hyt.runtime.backends.onnx_sessions import Sessions
from hyt.runtime.backends.onnx_vision import Vision
from hyt.runtime.bundle import Bundle

LIVE, THOUGHT, SCRATCH = range(3)
_SLOWEST_STEP_KEPT = 0.9  # of the slowest step's time, at each call of think


@dataclass
class _Prefix:
    layout: Layout
    seconds: float = 0.0
    filled: bool = False


@dataclass
class _OpenThought:
    """A thought that is being written: what is fed next, what was written, and where its prefix came from."""

    next: int
    seconds: tuple[float, float]  # vision, prefill
    tokens: list[int]
    finished: bool = False


class OnnxBackend:
    """The ONNX graphs of one bundle in onnxruntime.

    threads: 0 takes all physical cores but one, at most 8; provider: cpu, cuda or tensorrt; activations: int8 or
    float32, None for whichever the graphs were exported with. Raises BundleError for a bundle without ONNX graphs or
    with damaged ones, InputError for a provider that is not there or other activations, MissingDependencyError without
    onnxruntime.
    """

    def __init__(
        self, bundle: Bundle, threads: int = 0, provider: str = "cpu", *, activations: str | None = None
    ) -> None:
        graphs, contract = bundle.manifest.onnx, bundle.contract
        sessions = Sessions(provider, threads, graphs.activations if graphs else "int8")
        if graphs is None:
            raise BundleError(
                str(bundle.path),
                expected="ONNX graphs in it",
                received="none",
                remedy="export the checkpoint with hyt-export --onnx",
            )
        if provider != "cpu" and graphs.variant == "fused":
            raise InputError(
                f"provider {provider!r}",
                expected="graphs of standard operators: GroupQueryAttention of float32 is for the CPU alone",
                received="the variant fused",
                remedy="export with --onnx-variant qdq",
            )
        if activations not in (None, graphs.activations):
            raise InputError(
                "activations",
                expected=f"{graphs.activations}, which the ONNX graphs were exported with",
                received=repr(activations),
                remedy="export with hyt-export --onnx --activations",
            )
        self._contract, self._sessions = contract, sessions
        action = contract.action
        paths = bundle.onnx
        self._vision = Vision(sessions, paths["vision"], contract.image_count)
        source = str(paths["decoder"])
        self._decoder = Decoder(
            sessions.open(paths["decoder"], spinning=True), sessions, graphs, source, len(action.token_ids)
        )
        self._language = Language(sessions, paths, self._decoder, contract)
        if self._vision.width != self._decoder.hidden:
            raise BundleError(source, expected=f"width {self._vision.width} of image tokens", received="another width")
        heads = HeadFile(bundle.head) if bundle.head else None
        hidden = self._decoder.hidden
        self._gate = Gate(heads, hidden, contract.gate.units) if heads and contract.gate else None
        self._head = ActionHead(heads, hidden, action) if heads and action.kind == "continuous" else None
        if self._head is not None:
            self._fed_slots = self._head.slots * np.float32(bundle.manifest.shapes.text.embedding_scale)
        self._bytes = sum(path.stat().st_size for name, path in bundle.files.items() if name.startswith("onnx/"))
        self._both_ways = bundle.manifest.shapes.text.prefix_attention == "bidirectional"
        self._prefix: _Prefix | None = None
        self._vision_seconds = 0.0
        self._thought: _OpenThought | None = None
        self._act_state = np.empty(0, np.float32)
        self._slowest_step = 0.0
        self._open = True

    def observe(self, images: Sequence[NDArray[np.uint8]], layout: NDArray[np.int32]) -> None:
        """Encode the images, uint8 (height, width, 3), and note the prefix, int32 (positions,)."""
        self._check_open()
        start = time.monotonic()
        check_images(images, self._vision.images, self._vision.size)
        prefix = _Prefix(self._read(layout))
        self._prefix = None
        self._vision.encode(images)
        self._prefix = prefix
        self._vision_seconds = time.monotonic() - start

    def act(self, tag: int) -> Answer:
        """Decode the action behind the prefix and the tag."""
        prefix = self._filled_prefix(tag)
        answer, state = self._decide(LIVE, tag, (self._vision_seconds, prefix.seconds))
        self._act_state = state
        if self._gate is None:
            return answer
        probability = self._gate.probability(state)
        return replace(answer, think_probability=probability)

    def act_state(self) -> NDArray[np.float32]:
        """What a gate judges of the latest act, float32 (hidden,)."""
        self._check_open()
        return np.array(self._act_state)

    def think_begin(self, tag: int) -> None:
        """Open a thought on the current prefix."""
        if self._contract.thought is None:
            raise HytError("session", expected="a policy with thoughts", received="one without")
        prefix = self._filled_prefix(tag)
        self._decoder.fork(LIVE, THOUGHT)
        self._thought = _OpenThought(tag, (self._vision_seconds, prefix.seconds), [])

    def think(self, until: float | None, max_steps: int | None) -> Written:
        """Write on at the open thought."""
        thought = self._open_thought()
        start = time.monotonic()
        steps = 0
        # Forgotten bit by bit, call by call: a step that was held up once must not keep a thought from going on.
        self._slowest_step *= _SLOWEST_STEP_KEPT
        while not thought.finished and (max_steps is None or steps < max_steps):
            step_start = time.monotonic()
            # A step that would pass the deadline is not begun; the slowest lately says how long one takes.
            if until is not None and step_start + self._slowest_step >= until:
                break
            self._think_step(thought)
            self._slowest_step = max(self._slowest_step, time.monotonic() - step_start)
            steps += 1
        seconds = Seconds(*thought.seconds, time.monotonic() - start)
        return Written(np.array(thought.tokens, np.int32), thought.finished, seconds)

    def act_after_thought(self) -> Answer:
        """Decode the action behind the finished thought."""
        thought = self._open_thought()
        if not thought.finished:
            raise HytError("session", expected="a finished thought", received="one that goes on")
        assert self._contract.thought is not None
        return self._decide(THOUGHT, self._contract.thought.end_id, thought.seconds)[0]

    def act_with_thought(self, tag: int, thought: NDArray[np.int32]) -> Answer:
        """Decode the action behind a given thought, which is read in one pass."""
        limit = self._contract.thought
        prefix = self._filled_prefix(tag)
        most = 0 if limit is None else limit.max_tokens
        if limit is None or len(thought) > most:
            raise HytError("thought tokens", expected=f"0 to {most}", received=str(len(thought)))
        start = time.monotonic()
        where, length = self._workplace(LIVE), self._decoder.length(LIVE)
        self._language.read(where, [tag, *thought.tolist()])
        reading = time.monotonic() - start
        answer, _ = self._decide(where, limit.end_id, (self._vision_seconds, prefix.seconds))
        self._decoder.go_back(where, length)
        return replace(answer, seconds=replace(answer.seconds, decode=answer.seconds.decode + reading))

    def follow(self, layout: NDArray[np.int32], tag: int) -> Answer:
        """Decode the action behind another prefix on the same images."""
        self._check_open()
        self._language.check_tokens([tag])
        if self._prefix is None:
            raise HytError("session", expected="an observation first", received="none")
        prefix = _Prefix(self._read(layout))
        self._fill(prefix, SCRATCH)
        return self._decide(SCRATCH, tag, (self._vision_seconds, prefix.seconds))[0]

    def logits(self, layout: NDArray[np.int32], tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Logits, float32 (tokens, vocabulary), at each of `tokens` fed behind a prefix on the observed images."""
        self._check_open()
        self._fill(_Prefix(self._read(layout)), SCRATCH)
        return np.stack([self._language.logits(SCRATCH, token).copy() for token in tokens.tolist()])

    def info(self) -> Mapping[str, Any]:
        """Facts of the engine."""
        self._check_open()
        return {
            "backend": f"onnxruntime {self._sessions.version} {self._sessions.provider}",
            "threads": self._sessions.threads,
            "weights_bytes": self._bytes,
            "kv_bytes": self._decoder.state_bytes,
            "image_tokens": self._vision.tokens.shape[0],
        }

    def close(self) -> None:
        """Free the sessions."""
        if not self._open:
            return
        self._open = False
        self._prefix = self._thought = None
        del self._vision, self._decoder, self._language

    def _think_step(self, thought: _OpenThought) -> None:
        limit = self._contract.thought
        assert limit is not None
        if len(thought.tokens) == limit.max_tokens:
            # The end is forced whatever the model says next, so its vocabulary is not asked.
            self._language.read(THOUGHT, [thought.next])
            thought.next = limit.end_id
        else:
            thought.next = self._language.thought_token(THOUGHT, thought.next)
        thought.finished = thought.next == limit.end_id
        if not thought.finished:
            thought.tokens.append(thought.next)

    def _decide(self, slot: int, first: int, before: tuple[float, float]) -> tuple[Answer, NDArray[np.float32]]:
        """The answer behind a sequence and `first`, and the hidden state at `first`; the sequence stays as it was."""
        start = time.monotonic()
        where, length = self._workplace(slot), self._decoder.length(slot)
        if self._head is not None:
            states = self._language.chunk(where, first, self._fed_slots)
            values = self._head.values(states[1:])
            if not np.isfinite(values).all():
                raise HytError("action", expected="finite values", received="NaN or infinity")
            self._decoder.go_back(where, length)
            return Regressed(values, Seconds(*before, time.monotonic() - start)), states[0].copy()
        tokens, probabilities, state = self._language.actions(where, first)
        self._decoder.go_back(where, length)
        return Decoded(tokens, probabilities, Seconds(*before, time.monotonic() - start)), state

    def _workplace(self, slot: int) -> int:
        """Where to decode behind a sequence that is to stay as it is: in it, or in a copy where it cannot go back."""
        if self._decoder.goes_back or slot == SCRATCH:
            return slot
        self._decoder.fork(slot, SCRATCH)
        return SCRATCH

    def _filled_prefix(self, tag: int) -> _Prefix:
        self._check_open()
        self._language.check_tokens([tag])
        if self._prefix is None:
            raise HytError("session", expected="an observation first", received="none")
        if not self._prefix.filled:
            self._fill(self._prefix, LIVE)
        return self._prefix

    def _fill(self, prefix: _Prefix, slot: int) -> None:
        start = time.monotonic()
        self._language.prefill(slot, prefix.layout, self._vision.tokens, full=self._both_ways)
        prefix.seconds, prefix.filled = time.monotonic() - start, True

    def _read(self, layout: NDArray[np.int32]) -> Layout:
        images = self._vision.images
        per_image = self._vision.tokens.shape[0] // images if images else 0
        return read_layout(layout, images, per_image, self._contract)

    def _open_thought(self) -> _OpenThought:
        self._check_open()
        if self._thought is None:
            raise HytError("session", expected="think_begin first", received="no open thought")
        return self._thought

    def _check_open(self) -> None:
        if not self._open:
            raise HytError("policy", expected="an open policy", received="a closed one", remedy="load it again")
