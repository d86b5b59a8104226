"""The decoder's graph over its state: slots that are filled, fed and forked; every buffer is made once.

A graph says by the names of its inputs what it wants to be told: `embeddings` (1, n, hidden) and `rows` (r), the fed
rows that are read; and any of

    positions (1, n) int64        where the fed rows stand
    last (1,), total () int32     index of the last position, and the number of all
    full () bool                  the fed rows see each other in both directions
    visible (n, cells) float32    0 where a fed row sees a cell, -inf elsewhere

Its state is what the manifest names: KV caches, or anything else that a call leaves for the next (a recurrent policy).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyt.errors import BundleError, HytError
from hyt.runtime.backends.onnx_sessions import Opened, Sessions, one_line
from hyt.runtime.manifest import OnnxGraphs

EMBEDDINGS, ROWS, HIDDEN, ACTION_LOGITS = "embeddings", "rows", "hidden", "action_logits"
_TELLS = ("positions", "last", "total", "full", "visible")
_MOST_ELEMENTS = 2**28  # of a state: 1 GiB, beyond any cache of one layer
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


@dataclass
class Call:
    """Buffers of a call with n fed rows of which r are read; `bindings` by slot and turn."""

    embeddings: NDArray[np.float32]  # (1, n, hidden)
    hidden: NDArray[np.float32]  # (1, r, hidden)
    action_logits: NDArray[np.float32]  # (1, r, actions); none for a policy without action tokens
    told: dict[str, NDArray[Any]]
    bindings: dict[tuple[int, int], Any] = field(default_factory=dict)


@dataclass
class _Slot:
    """One sequence: its state, twice where a graph does not write in place, and how long it is."""

    states: list[dict[str, Any]]  # OrtValue by input's name; states[turn] is the present one
    turn: int = 0
    length: int = 0


class Decoder:
    """`decoder.onnx` with a state for each of `slots` sequences, made when a sequence is first used."""

    def __init__(self, opened: Opened, sessions: Sessions, graphs: OnnxGraphs, source: str, actions: int) -> None:
        self._session, self._sessions, self._graphs = opened.session, sessions, graphs
        self._inputs, self._outputs = opened.inputs, opened.outputs
        self._source = source
        known = {EMBEDDINGS, ROWS, *_TELLS, *graphs.state}
        self._require(set(self._inputs) <= known, "inputs", sorted(known)[:8], sorted(set(self._inputs) - known)[:4])
        wanted = {EMBEDDINGS, ROWS, *graphs.state}
        self._require(wanted <= set(self._inputs), "inputs", sorted(wanted)[:8], sorted(self._inputs)[:8])
        wanted = {HIDDEN, *graphs.state.values()} | ({ACTION_LOGITS} if actions else set())
        self._require(wanted <= set(self._outputs), "outputs", sorted(wanted)[:8], sorted(self._outputs)[:8])
        self.hidden = self._width(HIDDEN)
        self._require(self._inputs[EMBEDDINGS].shape[-1] == self.hidden, EMBEDDINGS, self.hidden, "another width")
        self._actions = actions
        if actions:
            self._require(self._width(ACTION_LOGITS) == actions, ACTION_LOGITS, actions, self._width(ACTION_LOGITS))
        for name in graphs.state:
            self._check_state(name)
        self._slots: dict[int, _Slot] = {}
        self._calls: dict[tuple[int, int], Call] = {}

    @property
    def state_bytes(self) -> int:
        """Bytes of the states of all slots that are used."""
        one = sum(int(np.prod(self._shape(name))) * self._type(name).itemsize for name in self._graphs.state)
        return sum(one * len(slot.states) for slot in self._slots.values())

    def call(self, rows: int, read: int) -> Call:
        """The buffers of a call with `rows` fed rows, of which the last `read` are read; made once."""
        if (rows, read) not in self._calls:
            embeddings = np.zeros((1, rows, self.hidden), np.float32)
            told: dict[str, NDArray[Any]] = {
                EMBEDDINGS: embeddings,
                ROWS: np.arange(rows - read, rows, dtype=np.int64),
                "positions": np.zeros((1, rows), np.int64),
                "last": np.zeros(1, np.int32),
                "total": np.zeros((), np.int32),
                "full": np.zeros((), np.bool_),
                "visible": np.zeros((rows, self._graphs.cells), np.float32),
            }
            told = {name: value for name, value in told.items() if name in self._inputs}
            hidden, logits = (np.zeros((1, read, width), np.float32) for width in (self.hidden, self._actions))
            self._calls[rows, read] = Call(embeddings, hidden, logits, told)
        return self._calls[rows, read]

    def length(self, slot: int) -> int:
        """Positions of a sequence."""
        return self._slot(slot).length

    def begin(self, slot: int) -> None:
        """Empty a sequence."""
        found = self._slot(slot)
        found.length = 0
        if not self._graphs.by_cell:
            for name, value in found.states[found.turn].items():
                value.update_inplace(np.zeros(self._shape(name), self._type(name)))

    def fork(self, source: int, target: int) -> None:
        """Make `target` a copy of `source`."""
        a, b = self._slot(source), self._slot(target)
        for name, value in b.states[b.turn].items():
            value.update_inplace(a.states[a.turn][name].numpy())
        b.length = a.length

    @property
    def goes_back(self) -> bool:
        """Whether a sequence can forget its last positions; a state that is no cache cannot."""
        return self._graphs.by_cell

    def go_back(self, slot: int, length: int) -> None:
        """Take a sequence that can forget back to its first `length` positions."""
        if self._graphs.by_cell:
            self._slot(slot).length = length

    def feed(self, slot: int, call: Call, *, full: bool = False) -> None:
        """Feed what stands in `call.embeddings` behind a sequence; the results are in `call` afterwards.

        full: the fed rows see each other in both directions. Raises HytError beyond the cache's end.
        """
        found = self._slot(slot)
        rows = call.embeddings.shape[1]
        last = found.length + rows
        if last > self._graphs.cells:
            raise HytError("sequence", expected=f"at most {self._graphs.cells} positions", received=str(last))
        self._tell(call, found.length, full)
        key = (slot, found.turn)
        if key not in call.bindings:
            call.bindings[key] = self._bind(found, call)
        run(self._session, call.bindings[key])
        found.length = last
        if len(found.states) > 1:
            found.turn = 1 - found.turn

    def _tell(self, call: Call, first: int, full: bool) -> None:
        rows, told = call.embeddings.shape[1], call.told
        last = first + rows
        write: dict[str, Callable[[NDArray[Any]], None]] = {
            "positions": lambda array: np.copyto(array[0], np.arange(first, last)),
            "last": lambda array: array.fill(last - 1),
            "total": lambda array: array.fill(last),
            "full": lambda array: array.fill(full),
            "visible": lambda array: _write_visible(array, first, last, full),
        }
        for name, writer in write.items():
            if name in told:
                writer(told[name])

    def _bind(self, slot: _Slot, call: Call) -> Any:
        """The session's inputs and outputs as buffers that stay: an output state is the next call's input."""
        binding = self._session.io_binding()
        for name, array in call.told.items():
            binding.bind_ortvalue_input(name, self._sessions.value(array))
        results = {HIDDEN: call.hidden} | ({ACTION_LOGITS: call.action_logits} if self._actions else {})
        for name, array in results.items():
            binding.bind_ortvalue_output(name, self._sessions.value(array))
        now, then = slot.states[slot.turn], slot.states[-1 - slot.turn]
        for name, output in self._graphs.state.items():
            binding.bind_ortvalue_input(name, now[name])
            binding.bind_ortvalue_output(output, then[name])
        return binding

    def _slot(self, slot: int) -> _Slot:
        if slot not in self._slots:
            sets = 1 if self._graphs.in_place else 2
            self._slots[slot] = _Slot([self._new_state() for _ in range(sets)])
        return self._slots[slot]

    def _new_state(self) -> dict[str, Any]:
        device = self._sessions.device
        state = self._graphs.state
        return {name: self._sessions.value(np.zeros(self._shape(name), self._type(name)), device) for name in state}

    def _shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._inputs[name].shape)

    def _type(self, name: str) -> np.dtype[Any]:
        return np.dtype(_TYPES[self._inputs[name].type])

    def _width(self, name: str) -> int:
        width = self._outputs[name].shape[-1]
        self._require(isinstance(width, int), name, "a fixed width", width)
        return int(width)

    def _check_state(self, name: str) -> None:
        before, after = self._inputs[name], self._outputs[self._graphs.state[name]]
        fixed = all(isinstance(length, int) and length > 0 for length in before.shape)
        fixed = fixed and math.prod(before.shape) <= _MOST_ELEMENTS
        self._require(
            fixed and before.type in _TYPES, name, "a state of fixed, moderate shape", f"{before.type} {before.shape}"
        )
        same = (before.shape, before.type) == (after.shape, after.type)
        self._require(same, name, f"{before.shape} as {self._graphs.state[name]} too", f"{after.shape}")

    def _require(self, condition: bool, what: str, expected: object, received: object) -> None:
        if not condition:
            raise BundleError(
                f"{self._source}: {what}",
                expected=str(expected),
                received=str(received)[:200],
                remedy="export the checkpoint again",
            )


def run(session: Any, binding: Any) -> None:
    """Run a session on its bound buffers; raises HytError with what onnxruntime says."""
    try:
        session.run_with_iobinding(binding)
    except Exception as problem:  # onnxruntime's exceptions have no common base but this
        raise HytError("onnxruntime", received=one_line(problem)) from None


def _write_visible(array: NDArray[np.float32], first: int, last: int, full: bool) -> None:
    array.fill(-np.inf)
    for row in range(last - first):
        array[row, : last if full else first + row + 1] = 0
