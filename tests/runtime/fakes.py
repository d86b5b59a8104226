"""A backend and a robot that write down what they are asked, for tests that need no engine and no simulator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import checkpoints
import numpy as np
from numpy.typing import NDArray

from hyt.runtime.actions import ActionChunk
from hyt.runtime.backends.base import Decoded, Seconds, Written
from hyt.runtime.bundle import Bundle
from hyt.runtime.contract import Contract
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy
from hyt.runtime.robot import Sent

SECONDS = Seconds(vision=0.004, prefill=0.003, decode=0.002)


@dataclass
class FakeBackend:
    """Answers with the first action token, and thinks "PLAN reach lower" one word a call when given a deadline."""

    contract: Contract
    thought: Sequence[int]
    calls: list[str] = field(default_factory=list)
    layouts: list[list[int]] = field(default_factory=list)
    written: int = 0
    think_probabilities: list[float] = field(default_factory=list)  # of the acts to come; none: there is no gate

    def observe(self, images: Sequence[NDArray[np.uint8]], layout: NDArray[np.int32]) -> None:
        self.calls.append(f"observe {len(images)}")
        self.layouts.append(layout.tolist())

    def act(self, tag: int) -> Decoded:
        self.calls.append(f"act {tag}")
        probability = self.think_probabilities.pop(0) if self.think_probabilities else None
        return replace(self._decoded(), think_probability=probability)

    def act_state(self) -> NDArray[np.float32]:
        return np.zeros(64, np.float32)

    def think_begin(self, tag: int) -> None:
        self.calls.append(f"think_begin {tag}")
        self.written = 0

    def think(self, until: float | None, max_steps: int | None) -> Written:
        self.calls.append("think")
        whole = until is None or until == math.inf
        steps = max_steps if max_steps is not None else len(self.thought) if whole else 1
        self.written = min(self.written + steps, len(self.thought))
        finished = self.written == len(self.thought)
        return Written(np.array(self.thought[: self.written], np.int32), finished, SECONDS)

    def act_after_thought(self) -> Decoded:
        self.calls.append("act_after_thought")
        return self._decoded()

    def act_with_thought(self, tag: int, thought: NDArray[np.int32]) -> Decoded:
        self.calls.append(f"act_with_thought {tag} of {len(thought)}")
        return self._decoded()

    def follow(self, layout: NDArray[np.int32], tag: int) -> Decoded:
        self.calls.append(f"follow {tag}")
        self.layouts.append(layout.tolist())
        return self._decoded()

    def info(self) -> Mapping[str, Any]:
        return {"backend": "fake", "threads": 1}

    def close(self) -> None:
        self.calls.append("close")

    def _decoded(self) -> Decoded:
        action = self.contract.action
        tokens = np.full(action.tokens, action.token_ids[0], np.int32)
        return Decoded(tokens, np.full(action.tokens, 0.5, np.float32), SECONDS)


def fake_policy(folder: Path, think_probabilities: Sequence[float] = ()) -> tuple[Policy, FakeBackend]:
    """A policy of the tiny contract on a fake backend; its tokenizer is written into `folder`.

    With `think_probabilities` it has a gate, of threshold 0.5, that says these one after the other.
    """
    contract = checkpoints.make_contract(checkpoints.Shape(gate_units=4 if think_probabilities else 0))
    tokenizer = checkpoints.make_tokenizer()
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    manifest = SimpleNamespace(name="tiny", family="fake")
    bundle = cast(Bundle, SimpleNamespace(contract=contract, tokenizer=path, manifest=manifest, path=folder))
    thought = tokenizer.encode("PLAN reach lower", add_special_tokens=False).ids
    backend = FakeBackend(contract, thought, think_probabilities=list(think_probabilities))
    return Policy(bundle, backend), backend


def tiny_observation(seed: int = 0, size: int = 28) -> Observation:
    """Noise that fits the tiny contract."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Observation({"camera0": image}, random.uniform(-1, 1, 4))


@dataclass
class FakeRobot:
    """Solves its task after `decisions` chunks; late with each of `late`."""

    decisions: int = 3
    late: frozenset[int] = frozenset()
    onlooker: str | None = None
    name: str = "fake"
    instruction: str | None = "open the drawer"
    seeds: list[int] = field(default_factory=list)
    chunks: list[ActionChunk] = field(default_factory=list)
    stops: int = 0
    rests: int = 0
    ticks: int = 0

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)
        self.chunks.clear()

    def observe(self) -> Observation:
        return tiny_observation(len(self.chunks))

    @property
    def stepped(self) -> bool:
        return True

    @property
    def tick_hz(self) -> float:
        return 400.0

    @property
    def step_ticks(self) -> int:
        return 25

    @property
    def done(self) -> bool:
        return len(self.chunks) == self.decisions

    success = done
    judges = True

    def tick(self) -> int:
        return self.ticks

    def time_of(self, tick: float) -> float:
        return tick / self.tick_hz

    def send(self, chunk: ActionChunk, *, start: int | None = None, steps: int | None = None, blend: int = 0) -> Sent:
        begin = self.tick() if start is None else start
        self.chunks.append(chunk)
        return Sent(begin, begin + 25 * (steps or len(chunk.values)), len(self.chunks) in self.late, 0.0)

    def wait_until(self, tick: float) -> None:
        self.ticks = max(self.ticks, int(tick))

    def rest(self) -> None:
        self.rests += 1

    def stop(self) -> None:
        self.stops += 1

    def sub_instruction(self) -> str | None:
        return self.onlooker

    def counters(self) -> Mapping[str, int]:
        return {"ticks": 25 * len(self.chunks), "chunks": len(self.chunks), "rejected_frames": 0}

    def close(self) -> None:
        self.chunks.clear()
