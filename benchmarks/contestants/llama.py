"""Stock llama.cpp, through the libraries of llama-cpp-python."""

from __future__ import annotations

import ctypes
import time

import llama_cpp
import numpy as np

from contestants.case import Answer, Case

FLASH = {
    "on": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
CACHE = {"f16": llama_cpp.GGML_TYPE_F16, "f32": llama_cpp.GGML_TYPE_F32}


class Llama:
    """settings: threads, flash (on, off), repack (weights re-laid at load), cache (of keys and values: f16, f32)."""

    def __init__(self, case: Case, threads: int, flash: str = "on", repack: bool = True, cache: str = "f16") -> None:
        self._case = case
        llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_default_params()
        model.use_extra_bufts = repack
        self._model = llama_cpp.llama_model_load_from_file(case.language.encode(), model)
        context = llama_cpp.llama_context_default_params()
        cells = case.prefix + 1 + max(case.action_tokens, case.thought)
        context.n_ctx = cells
        context.n_batch = context.n_ubatch = case.prefix + 1  # the prefix in one pass
        context.n_threads = context.n_threads_batch = threads
        context.flash_attn_type = FLASH[flash]
        context.type_k = context.type_v = CACHE[cache]
        context.no_perf = True
        self._context = llama_cpp.llama_init_from_model(self._model, context)
        if not self._model or not self._context:
            raise RuntimeError(f"llama.cpp cannot load {case.language} with flash {flash}, cache {cache}")
        self._rows = np.asarray(case.action_ids)
        self._batch = llama_cpp.llama_batch_init(case.prefix + 1, 0, 1)

    def act(self, prefix: list[int]) -> Answer:
        """The action tokens behind this prefix and the tag."""
        return self._generate(prefix, self._case.action_tokens, self._rows)

    def think(self, prefix: list[int]) -> Answer:
        """As many tokens as the case's thought has."""
        return self._generate(prefix, self._case.thought, None)

    def whole(self, prefix: list[int]) -> Answer:
        """Nothing: the image encoder is not llama.cpp's."""
        return Answer([])

    def _generate(self, prefix: list[int], count: int, rows: np.ndarray | None) -> Answer:
        start = time.perf_counter()
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)
        tag = self._case.tag
        if self._case.causal:  # the tag may be read in the same pass as the prefix
            self._decode([*prefix, tag], 0, logits=True)
        else:
            llama_cpp.llama_set_causal_attn(self._context, False)
            self._decode(prefix, 0, logits=False)
            llama_cpp.llama_set_causal_attn(self._context, True)
        filled = time.perf_counter()
        position = len(prefix)
        if not self._case.causal:
            self._decode([tag], position, logits=True)
        tokens: list[int] = []
        while True:
            tokens.append(self._choose(rows))
            position += 1
            if len(tokens) == count:
                return Answer(tokens, filled - start, time.perf_counter() - filled)
            self._decode([tokens[-1]], position, logits=True)

    def _decode(self, tokens: list[int], position: int, *, logits: bool) -> None:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = position + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = logits and index == len(tokens) - 1
        if llama_cpp.llama_decode(self._context, batch) != 0:
            raise RuntimeError("llama_decode failed")

    def _choose(self, rows: np.ndarray | None) -> int:
        pointer = llama_cpp.llama_get_logits_ith(self._context, -1)
        logits = np.ctypeslib.as_array(pointer, (self._case.vocabulary,))
        return int(logits.argmax()) if rows is None else int(rows[logits[rows].argmax()])


@llama_cpp.llama_log_callback
def _silent(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    pass
