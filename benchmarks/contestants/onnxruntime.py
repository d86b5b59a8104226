"""onnxruntime on the graphs of the bundle's `onnx/`, driven as our backend drives it: buffers bound once, one cache."""

from __future__ import annotations

import time

import numpy as np

from contestants.case import Answer, Case, frame
from hyt.runtime.backends.onnx_decoder import Decoder
from hyt.runtime.backends.onnx_language import Language
from hyt.runtime.backends.onnx_layout import Layout, read_layout
from hyt.runtime.backends.onnx_sessions import Sessions
from hyt.runtime.backends.onnx_vision import Vision
from hyt.runtime.bundle import open_bundle

SLOT = 0


class OnnxRuntime:
    """settings: threads, spinning (the decoder's threads wait for more work without sleeping)."""

    def __init__(self, case: Case, threads: int, spinning: bool = True) -> None:
        bundle = open_bundle(case.bundle)
        graphs, paths = bundle.manifest.onnx, bundle.onnx
        if graphs is None:
            raise RuntimeError(f"{case.bundle}: no ONNX graphs in it")
        self._case = case
        sessions = Sessions("cpu", threads)
        self._vision = Vision(sessions, paths["vision"], case.images)
        opened = sessions.open(paths["decoder"], spinning=spinning)
        decoder = Decoder(opened, sessions, graphs, str(paths["decoder"]), len(case.action_ids))
        self._language = Language(sessions, paths, decoder, bundle.contract)
        self._layout = read_layout(
            np.array(case.layout, np.int32), case.images, len(self._vision.tokens) // case.images, bundle.contract
        )

    def act(self, prefix: list[int]) -> Answer:
        """The action tokens behind this prefix and the tag."""
        start = time.perf_counter()
        self._fill(self._text(prefix))
        return self._actions(time.perf_counter() - start)

    def think(self, prefix: list[int]) -> Answer:
        """As many tokens as the case's thought has."""
        start = time.perf_counter()
        self._fill(self._text(prefix))
        filled = time.perf_counter()
        tokens = [self._case.tag]
        for _ in range(self._case.thought):
            tokens.append(int(self._language.logits(SLOT, tokens[-1]).argmax()))
        return Answer(tokens[1:], filled - start, time.perf_counter() - filled)

    def whole(self, prefix: list[int]) -> Answer:
        """From new images to action tokens."""
        images = frame(self._case, prefix)
        start = time.perf_counter()
        self._vision.encode(list(images))
        seen = time.perf_counter()
        self._fill(self._layout)
        return self._actions(time.perf_counter() - seen, seen - start)

    def _text(self, prefix: list[int]) -> Layout:
        return Layout(np.array(prefix, np.int64), np.empty(0, np.int64))

    def _fill(self, layout: Layout) -> None:
        tokens = self._vision.tokens[: len(layout.image_rows)]
        self._language.prefill(SLOT, layout, tokens, full=not self._case.causal)

    def _actions(self, prefill: float, vision: float | None = None) -> Answer:
        start = time.perf_counter()
        tokens, _, _ = self._language.actions(SLOT, self._case.tag)
        return Answer(tokens.tolist(), prefill, time.perf_counter() - start, vision)
