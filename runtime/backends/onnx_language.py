"""Tokens through embed.onnx, decoder.onnx and output.onnx: prefixes, greedy action tokens and thoughts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyt.errors import HytError
from hyt.runtime.backends.onnx_decoder import HIDDEN, Call, Decoder, run
from hyt.runtime.backends.onnx_layout import Layout
from hyt.runtime.backends.onnx_sessions import Sessions
from hyt.runtime.contract import Contract


class Language:
    """The graphs around a decoder. Greedy: the largest logit, of equal ones the first.

    output.onnx is opened for a policy that thinks; any other reads the whole vocabulary only where logits are asked
    for.
    """

    def __init__(self, sessions: Sessions, paths: Mapping[str, Path], decoder: Decoder, contract: Contract) -> None:
        self._sessions, self._decoder, self._contract = sessions, decoder, contract
        self._embed = sessions.open_as(paths["embed"], {"ids": None}, {"embeddings": decoder.hidden}, threads=1).session
        self._embeddings: dict[int, tuple[NDArray[np.int64], Any]] = {}  # ids and binding by their number
        self._ids = np.array(contract.action.token_ids, np.int32)
        self._output_path = paths["output"]
        self._output: tuple[Any, Any] | None = None  # session and binding
        self._logits = np.zeros((1, 1, contract.vocab_size), np.float32)
        self._masked = np.zeros(contract.vocab_size, np.float32)
        if contract.thought is not None:
            self._open_output()
            self._masked[list(contract.thought.suppressed_ids)] = -np.inf

    def check_tokens(self, tokens: Sequence[int]) -> None:
        """Refuse an id that is not in the vocabulary."""
        most = self._contract.vocab_size - 1
        for token in tokens:
            if not 0 <= token <= most:
                raise HytError("token id", expected=f"0 to {most}", received=str(token))

    def prefill(self, slot: int, layout: Layout, image_tokens: NDArray[np.float32], *, full: bool) -> None:
        """Make a prefix the beginning of a sequence."""
        call = self._decoder.call(len(layout.ids), 1)
        self._embed_into(call.embeddings, layout.ids)
        call.embeddings[0, layout.image_rows] = image_tokens
        self._decoder.begin(slot)
        self._decoder.feed(slot, call, full=full)

    def read(self, slot: int, tokens: Sequence[int]) -> Call:
        """Feed tokens, of which the last is read."""
        self.check_tokens(tokens)
        call = self._decoder.call(len(tokens), 1)
        self._embed_into(call.embeddings, np.array(tokens, np.int64))
        self._decoder.feed(slot, call)
        return call

    def thought_token(self, slot: int, token: int) -> int:
        """Feed a token; what the whole vocabulary but the suppressed ids says next."""
        logits = self.logits(slot, token)
        logits += self._masked
        return _largest(logits)

    def logits(self, slot: int, token: int) -> NDArray[np.float32]:
        """Feed a token; the logits of the whole vocabulary (vocabulary,), until the next call."""
        self.read(slot, [token])
        run(*self._open_output())
        found: NDArray[np.float32] = self._logits[0, 0]
        return found

    def _open_output(self) -> tuple[Any, Any]:
        if self._output is None:
            widths = {HIDDEN: self._decoder.hidden}, {"logits": self._contract.vocab_size}
            session = self._sessions.open_as(self._output_path, *widths).session
            binding = session.io_binding()
            binding.bind_ortvalue_input(HIDDEN, self._sessions.value(self._decoder.call(1, 1).hidden))
            binding.bind_ortvalue_output("logits", self._sessions.value(self._logits))
            self._output = session, binding
        return self._output

    def actions(self, slot: int, first: int) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """Action tokens (K,) behind `first`, their probabilities (K,), and the hidden state at `first`."""
        count = self._contract.action.tokens
        tokens, probabilities = np.zeros(count, np.int32), np.zeros(count, np.float32)
        state = np.empty(0, np.float32)
        token = first
        for i in range(count):
            call = self.read(slot, [token])
            if i == 0:
                state = call.hidden[0, 0].copy()
            logits = call.action_logits[0, 0].astype(np.float64)
            choice = _largest(logits)
            token = int(self._ids[choice])
            tokens[i] = token
            probabilities[i] = 1 / np.exp(logits - logits[choice]).sum()
        return tokens, probabilities, state

    def chunk(self, slot: int, first: int, slots: NDArray[np.float32]) -> NDArray[np.float32]:
        """Hidden states of `first` and of all action slots behind it, float32 (1 + slots, hidden)."""
        rows = 1 + len(slots)
        call = self._decoder.call(rows, rows)
        self._embed_into(call.embeddings[:, :1], np.array([first], np.int64))
        call.embeddings[0, 1:] = slots
        self._decoder.feed(slot, call, full=True)
        states: NDArray[np.float32] = call.hidden[0]
        return states

    def _embed_into(self, target: NDArray[np.float32], ids: NDArray[np.int64]) -> None:
        """Write the embeddings of ids into (1, n, hidden), contiguous."""
        if len(ids) not in self._embeddings:
            place = np.zeros((1, len(ids)), np.int64)
            binding = self._embed.io_binding()
            binding.bind_ortvalue_input("ids", self._sessions.value(place))
            self._embeddings[len(ids)] = place, binding
        place, binding = self._embeddings[len(ids)]
        np.copyto(place[0], ids)
        binding.bind_ortvalue_output("embeddings", self._sessions.value(target))
        run(self._embed, binding)


def _largest(logits: NDArray[Any]) -> int:
    """Index of the largest, of equal ones the first; raises HytError where one is NaN or all are infinite."""
    choice = int(logits.argmax())
    if not np.isfinite(logits[choice]):
        raise HytError("logits", expected="finite values", received="NaN or infinity")
    return choice
