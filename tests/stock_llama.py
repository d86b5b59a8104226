"""Stock llama.cpp as a reference: logits of a language.gguf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import llama_cpp
import numpy as np
from numpy.typing import NDArray

CONTEXT = 256


def llama_logits(path: Path | str, ids: Sequence[int]) -> NDArray[np.float32]:
    """Logits (len(ids), vocabulary); the KV cache in float32, as the other references have it."""
    f32 = llama_cpp.GGML_TYPE_F32
    with _plain_weights():
        model = llama_cpp.Llama(
            str(path), n_ctx=CONTEXT, n_threads=1, logits_all=True, verbose=False, type_k=f32, type_v=f32
        )
    try:
        model.eval(list(ids))
        return np.array(model.scores[: len(ids)])
    finally:
        model.close()


@contextmanager
def _plain_weights() -> Iterator[None]:
    """Weights as the file has them, not re-laid: on a CPU with AMX, a ggml compiled by GCC 12 dies of its own tiles."""
    plain = llama_cpp.llama_model_default_params()
    plain.use_extra_bufts = False
    with mock.patch.object(llama_cpp.llama_cpp, "llama_model_default_params", return_value=plain):
        yield
