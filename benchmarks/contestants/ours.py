"""The HyT core on the language part alone."""

from __future__ import annotations

import time

from contestants.case import Answer, Case
from hyt.runtime import _core


class Ours:
    """settings: threads, own_kernels (false: ggml's operators only)."""

    def __init__(self, case: Case, threads: int, own_kernels: bool = True) -> None:
        self._tag, self._thought = case.tag, case.thought
        self._session = _core.Session(
            case.language,
            "",
            threads=threads,
            image_count=0,
            max_text_tokens=case.prefix,
            max_thought_tokens=case.thought,
            action_tokens=case.action_tokens,
            action_token_ids=list(case.action_ids),
            thought_suppressed_ids=[],
            thought_end_id=case.vocabulary - 1,  # padding or a rare word: thoughts are to have one length
            vocab_size=case.vocabulary,
            own_kernels=own_kernels,
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
