"""A loaded policy and the three ways to ask it: act, think, follow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyt.errors import InputError
from hyt.runtime.actions import ActionChunk, ActionTable, Timings
from hyt.runtime.backends.base import Answer, Backend, Regressed
from hyt.runtime.bundle import Bundle, open_bundle
from hyt.runtime.contract import Contract, Gate
from hyt.runtime.observation import Observation, check_observation
from hyt.runtime.prompt import Prompt, read_tokenizer

BACKENDS = ("core", "onnx")


@dataclass(frozen=True)
class Thought:
    """A thought as far as it has been written.

    tokens:   int32 (n,), vocabulary ids, the end of the thought not among them
    finished: whether the policy ended it (or its token limit did)
    action:   the chunk decoded behind the whole thought; None when a deadline was given to `think`
    """

    text: str
    tokens: NDArray[np.int32]
    finished: bool
    timings: Timings = field(default_factory=Timings)
    action: ActionChunk | None = None


class Policy:
    """One policy, loaded. Not for several threads at once; with the same threads, the same answer bit by bit.

    `act`, `think` and `follow` are the modalities of HyT (arXiv 2510.00600). Calls on one and the same Observation
    share its image tokens, and `act` and `think` share its prefill too.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.bundle = bundle
        self.contract = bundle.contract
        self.prompt = Prompt(self.contract, read_tokenizer(bundle.tokenizer, self.contract))
        self._backend = backend
        self._table = ActionTable(self.contract.action)
        self._instruction: str | None = None
        self._text_ids: list[int] = []
        self._seen: Observation | None = None  # its image tokens are in the backend
        self._prefilled = False  # and so is its prefix with the present instruction
        self._thinking = False

    @property
    def instruction(self) -> str | None:
        """What `reset` was told."""
        return self._instruction

    @property
    def info(self) -> Mapping[str, Any]:
        """The bundle's name and family, and the backend's facts (name, threads, bytes)."""
        manifest = self.bundle.manifest
        return {"name": manifest.name, "family": manifest.family, "backend": dict(self._backend.info())}

    def reset(self, *, instruction: str) -> None:
        """Begin an episode; raises InputError for a text that the policy cannot read (see `Prompt`)."""
        self._text_ids = self.prompt.encode(instruction)
        self._instruction = instruction
        self._forget()

    def act(self, observation: Observation) -> ActionChunk:
        """The action for this observation, at once; raises InputError when it does not fit the contract."""
        start = time.monotonic()
        self._observe(observation)
        decoded = self._backend.act(self.contract.modalities.act)
        return replace(self._chunk(decoded, start), think_probability=decoded.think_probability)

    def act_state(self) -> NDArray[np.float32]:
        """What a gate judges of the latest `act`: the decoder's output at the act tag, float32 (hidden,)."""
        return self._backend.act_state()

    def decide(self, observation: Observation, threshold: float | None = None) -> tuple[ActionChunk, Thought | None]:
        """The action for this observation, thought about where the gate asks for it; and the thought, if there is one.

        Acts, and where the gate's probability is at least `threshold` (default: the contract's) also thinks, from the
        same prefill, and gives the action behind the thought; its timings count both. Raises InputError for a policy
        without a gate and as `act` does.
        """
        gate = require_gate(self.contract)
        least = gate.threshold if threshold is None else threshold
        acted = self.act(observation)
        assert acted.think_probability is not None  # the contract has a gate
        if acted.think_probability < least:
            return acted, None
        thought = self.think(observation)
        assert thought.action is not None  # no deadline was given
        spent, first = thought.action.timings, acted.timings
        timings = replace(spent, decode=first.decode + spent.decode, total=first.total + spent.total)
        return replace(thought.action, timings=timings, think_probability=acted.think_probability), thought

    def act_with_thought(self, observation: Observation, thought: NDArray[np.int32]) -> ActionChunk:
        """The action for this observation behind a thought that was written about an earlier one.

        thought: int32 (n,), the tokens of a finished Thought. They are read again with this observation, as the policy
        was trained to act behind a thought; that costs one pass a token, counted in `decode`. Raises InputError when
        the observation does not fit the contract or the policy was not trained to think.
        """
        start = time.monotonic()
        tag = self._tag("think", self.contract.modalities.think)
        self._observe(observation)
        return self._chunk(self._backend.act_with_thought(tag, thought), start)

    def think(self, observation: Observation, until: float | None = None, *, tokens: int | None = None) -> Thought:
        """Write a thought about this observation.

        Without `until` the thought is written to its end, and `thought.action` is the chunk decoded behind it. With
        `until`, a `time.monotonic()` in seconds, it stops at the first token past that time, and with `tokens` after so
        many: go on with `resume`, and take the action of a finished thought from `act_on_thought`. Other calls may come
        in between; the thought keeps the observation it began with. Raises InputError when the observation does not fit
        the contract or the policy was not trained to think.
        """
        start = time.monotonic()
        tag = self._tag("think", self.contract.modalities.think)
        self._observe(observation)
        self._backend.think_begin(tag)
        self._thinking = True
        thought = self._write(until, tokens, start)
        if until is not None or tokens is not None:
            return thought
        action = self._chunk(self._backend.act_after_thought(), start, thought.timings)
        return Thought(thought.text, thought.tokens, thought.finished, action.timings, action)

    def resume(self, until: float | None = None, *, tokens: int | None = None) -> Thought:
        """Write on at the thought that `think` began, to its end, `until` or for `tokens` more; raises InputError when
        there is none."""
        self._require_thought()
        return self._write(until, tokens, time.monotonic())

    def act_on_thought(self) -> ActionChunk:
        """The action behind the finished thought; raises InputError when none was begun or it has not ended."""
        self._require_thought()
        start = time.monotonic()
        return self._chunk(self._backend.act_after_thought(), start)

    def follow(self, observation: Observation, text: str) -> ActionChunk:
        """The action for this observation and a sub-instruction, in place of the instruction.

        Raises InputError when the observation does not fit the contract, the policy cannot read the text or was not
        trained to follow.
        """
        start = time.monotonic()
        tag = self._tag("follow", self.contract.modalities.follow)
        text_ids = self.prompt.encode(text)
        if observation is self._seen:
            decoded = self._backend.follow(self.prompt.layout(text_ids, observation.state), tag)
        else:
            images = check_observation(observation, self.contract)
            self._seen = None  # until the backend has taken it, whatever happens on the way
            self._backend.observe(images, self.prompt.layout(text_ids, observation.state))
            self._seen = observation
            decoded = self._backend.act(tag)
        self._prefilled = False
        return self._chunk(decoded, start)

    def readable(self, text: str) -> None:
        """Raises InputError where `follow` would for this text; any thread may ask."""
        self._tag("follow", self.contract.modalities.follow)
        self.prompt.encode(text)

    def warm_up(self) -> None:
        """Run every path once on blank images, so that the first real answer costs what the others do.

        The instruction is kept; an open thought is lost.
        """
        images = {c.name: np.zeros(c.shape, np.uint8) for c in self.contract.cameras}
        state = self.contract.state
        blank = Observation(images, [0.0] * (0 if state is None else len(state.dimensions)))
        tags = self.contract.modalities
        layout = self.prompt.layout(self._text_ids or [tags.act], blank.state)
        self._backend.observe(check_observation(blank, self.contract), layout)
        self._backend.act(tags.act)
        if tags.think is not None:
            self._backend.think_begin(tags.think)
            self._backend.think(None, 2)
            self._backend.act_with_thought(tags.think, np.zeros(0, np.int32))
        if tags.follow is not None:
            self._backend.follow(layout, tags.follow)
        self._forget()

    def close(self) -> None:
        """Free the weights and caches; the policy is not used afterwards."""
        self._forget()
        self._backend.close()

    def __enter__(self) -> Policy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _observe(self, observation: Observation) -> None:
        if self._instruction is None:
            raise InputError(
                "instruction", expected="one", received="none", remedy="call policy.reset(instruction=...) first"
            )
        if observation is self._seen and self._prefilled:
            return
        images = check_observation(observation, self.contract)
        self._seen, self._prefilled = None, False
        self._backend.observe(images, self.prompt.layout(self._text_ids, observation.state))
        self._seen, self._prefilled = observation, True

    def _write(self, until: float | None, tokens: int | None, start: float) -> Thought:
        written = self._backend.think(until, tokens)
        seconds = written.seconds
        timings = Timings(
            vision=seconds.vision,
            prefill=seconds.prefill,
            thought=seconds.decode,
            total=time.monotonic() - start,
        )
        return Thought(self.prompt.decode(written.tokens.tolist()), written.tokens, written.finished, timings)

    def _chunk(self, answer: Answer, start: float, thought: Timings | None = None) -> ActionChunk:
        seconds = answer.seconds
        timings = Timings(
            vision=seconds.vision,
            prefill=seconds.prefill,
            thought=0.0 if thought is None else thought.thought,
            decode=seconds.decode,
            total=time.monotonic() - start,
        )
        if isinstance(answer, Regressed):
            return self._table.continuous_chunk(answer.values, timings)
        return self._table.chunk(answer.tokens, answer.probabilities, timings)

    def _tag(self, modality: str, tag: int | None) -> int:
        if tag is None:
            raise InputError(
                f"policy {self.contract.name!r}",
                expected=f"one that was trained to {modality}",
                received=f"one that can {' and '.join(self.contract.modalities.named())}",
            )
        return tag

    def _require_thought(self) -> None:
        if not self._thinking:
            raise InputError("thought", expected="one begun by policy.think", received="none")

    def _forget(self) -> None:
        self._seen, self._prefilled, self._thinking = None, False, False


def require_gate(contract: Contract) -> Gate:
    """The contract's gate; raises InputError when it has none."""
    if contract.gate is None:
        raise InputError(
            f"policy {contract.name!r}",
            expected="one with a gate",
            received="none",
            remedy="think never or always, or train a gate with hyt-train gate",
        )
    return contract.gate


def load(
    path: str | os.PathLike[str],
    *,
    threads: int = 0,
    require_signature: str | os.PathLike[str] | None = None,
    kv_type: str = "f32",
    mapped: bool = False,
    speculate: str = "auto",
    backend: str = "core",
    device: str = "cpu",
    provider: str | None = None,
    activations: str | None = None,
    without: Sequence[str] = (),
    warm_up: bool = True,
) -> Policy:
    """Verify the bundle at `path`, load it and warm it up; it never needs torch.

    threads: 0 takes all physical cores but one, at most 8. require_signature: PEM file of the Ed25519 public key that
    must have signed the bundle. kv_type: "f16" halves the memory of keys and values and rounds them. mapped: large
    matrices stay in the bundle's files, which the system reads and drops as memory allows; slower, and the files must
    not change as long as the policy is used. backend: "core", ours in C++, or "onnx", onnxruntime over the bundle's
    ONNX graphs on a provider (cpu, which is the default, cuda or tensorrt); kv_type, mapped, without, speculate and
    device are the core's alone. device: what the core computes on, "cpu", "cuda", "vulkan" or a ggml device such as
    "CUDA0", where the installed llama-cpp-python has it (docs/jetson.md); on another than the CPU sums round otherwise,
    and "auto" never speculates. activations: what quantised weights are multiplied with, "int8" (in blocks, the core's
    default) or "float32", exact and slower; of ONNX graphs the export decides (hyt-export --activations). without:
    speed-ups to leave out, to measure what each buys (docs/performance.md lists them). speculate: whether action tokens
    are guessed and checked several a pass; the answers are the same. "last" guesses the last action, "draft" what the
    policy's draft head says, "auto" does either where measured passes and the share of right guesses say that it takes
    less time, "off" never.
    warm_up: answer once in every modality that the policy has, so that the first answer takes as long as any other.

    Raises BundleError when the bundle is missing, damaged, changed since its export, of another schema, not signed as
    required or without what the backend reads, InputError for a negative number of threads, no such key, type, backend,
    device, provider or speed-up, a device that lacks an operator, or no draft head where one is to guess, and
    MissingDependencyError without onnxruntime.
    """
    if backend not in BACKENDS:
        raise InputError("backend", expected=f"one of {', '.join(BACKENDS)}", received=repr(backend))
    if backend == "core":
        from hyt.runtime.backends.core import CoreBackend

        if provider is not None:
            raise InputError("provider", expected="none but with backend 'onnx'", received=repr(provider))
        bundle = open_bundle(path, require_signature=require_signature)
        core = CoreBackend(
            bundle,
            threads,
            kv_type=kv_type,
            mapped=mapped,
            activations=activations,
            without=without,
            speculate=speculate,
            device=device,
        )
        policy = Policy(bundle, core)
    else:
        from hyt.runtime.backends.onnx import OnnxBackend

        if kv_type != "f32" or mapped or without:
            of_core = f"kv type {kv_type!r}" if kv_type != "f32" else f"mapped {mapped}"
            raise InputError(
                "backend 'onnx'",
                expected="keys and values in f32, weights that are copied and nothing left out",
                received=f"without {', '.join(without)}" if without else of_core,
                remedy="take the backend 'core', or leave it out",
            )
        if speculate not in ("auto", "off"):
            raise InputError(
                "backend 'onnx'",
                expected="speculate auto or off",
                received=repr(speculate),
                remedy="take the backend 'core', or leave it out",
            )
        if device.lower() != "cpu":
            raise InputError(
                "backend 'onnx'",
                expected="device cpu",
                received=repr(device),
                remedy="name a provider, or take the backend 'core'",
            )
        bundle = open_bundle(path, require_signature=require_signature)
        policy = Policy(bundle, OnnxBackend(bundle, threads, provider or "cpu", activations=activations))
    if warm_up:
        policy.warm_up()
    return policy
