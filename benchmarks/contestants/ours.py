"""The HyT core: the language part alone, and whole acts in a session of their own."""

from __future__ import annotations

import time
from functools import cached_property

import numpy as np

from contestants.case import Answer, Case, frame
from hyt.runtime import _core
from hyt.runtime.bundle import open_bundle


class Ours:
    """settings: threads, own_kernels (false: ggml's operators only)."""

    def __init__(self, case: Case, threads: int, own_kernels: bool = True) -> None:
        self._case, self._threads, self._own_kernels = case, threads, own_kernels
        self._tag, self._thought = case.tag, case.thought
        self._session = self._open("", 0)

    @cached_property
    def _seeing(self) -> _core.Session:
        return self._open(str(open_bundle(self._case.bundle).vision), self._case.images)

    def _open(self, vision: str, images: int) -> _core.Session:
        case = self._case
        return _core.Session(
            case.language,
            vision,
            threads=self._threads,
            image_count=images,
            max_text_tokens=case.prefix,
            max_thought_tokens=case.thought,
            action_tokens=case.action_tokens,
            action_token_ids=list(case.action_ids),
            thought_suppressed_ids=[],
            thought_end_id=case.vocabulary - 1,  # padding or a rare word: thoughts are to have one length
            vocab_size=case.vocabulary,
            own_kernels=self._own_kernels,
        )

    def act(self, prefix: list[int]) -> Answer:
        """The action tokens behind this prefix and the tag."""
        start = time.perf_counter()
        self._session.observe([], prefix)
        result = self._session.act(self._tag)
        seconds = time.perf_counter() - start
        return Answer(result.tokens.tolist(), seconds - result.timings["decode"], result.timings["decode"])

    def think(self, prefix: list[int]) -> Answer:
        """As many tokens as the case's thought has."""
        start = time.perf_counter()
        self._session.observe([], prefix)
        self._session.think_begin(self._tag)
        filled = time.perf_counter()
        result = self._session.think()
        if len(result.tokens) != self._thought:
            raise RuntimeError(f"a thought ended after {len(result.tokens)} tokens, so it cannot be compared")
        return Answer(result.tokens.tolist(), filled - start, time.perf_counter() - filled)

    def whole(self, prefix: list[int]) -> Answer:
        """From new images to action tokens."""
        images, layout = list(frame(self._case, prefix)), np.array(self._case.layout, np.int32)
        session = self._seeing
        start = time.perf_counter()
        session.observe(images, layout)
        seen = time.perf_counter()
        result = session.act(self._tag)
        decode = result.timings["decode"]
        return Answer(result.tokens.tolist(), time.perf_counter() - seen - decode, decode, seen - start)
