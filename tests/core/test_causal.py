"""The core under a causal mask (a prefix of one token): Gemma 2's sliding window; stock llama.cpp on the same file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import AWKWARD, DEFAULT, Shape
from language_model import causal_model
from model_gguf import write_gguf
from numpy.typing import NDArray
from stock_llama import llama_logits

from hyt.runtime import _core

F32_BOUND = 2e-5  # float32 rounding (measured: 2e-6), as a share of the largest logit
GELU_TABLE_BOUND = 1e-3  # llama.cpp's GELU reads a float16 table (measured: 3e-4)
LENGTH = 24


def core_logits(language: str, ids: Sequence[int]) -> NDArray[np.float32]:
    """Logits (len(ids) - 1, vocabulary) behind every token but the first, which is the whole prefix."""
    session = _core.Session(
        language,
        "",
        threads=1,
        image_count=0,
        max_text_tokens=1,
        max_thought_tokens=LENGTH,
        action_tokens=1,
        action_token_ids=[0],
        thought_suppressed_ids=[],
        thought_end_id=1,
    )
    return session.logits(np.array(ids[:1], np.int32), None, np.array(ids[1:], np.int32))


def random_ids(shape: Shape) -> list[int]:
    return np.random.default_rng(0).integers(0, shape.vocab_size, LENGTH).tolist()


@pytest.mark.parametrize("window", [1, 2, 5, LENGTH])
def test_even_layers_see_a_sliding_window(tmp_path: Path, window: int) -> None:
    shape = replace(AWKWARD, sliding_window=window)
    model, ids = causal_model(shape, 4), random_ids(shape)
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0, 1:].numpy()
    received = core_logits(write_gguf(model, tmp_path).language, ids)
    assert np.abs(received - expected).max() < F32_BOUND * np.abs(expected).max()


@pytest.mark.parametrize("shape", [DEFAULT, AWKWARD])
def test_stock_llama_cpp_says_the_same(tmp_path: Path, shape: Shape) -> None:
    ids = random_ids(shape)
    language = write_gguf(causal_model(shape, 4), tmp_path).language
    expected = llama_logits(language, ids)[1:]
    received = core_logits(language, ids)
    assert np.abs(received - expected).max() < GELU_TABLE_BOUND * np.abs(expected).max()


def test_one_copy_of_ggml_serves_the_core_and_llama_cpp() -> None:
    maps = Path("/proc/self/maps").read_text().splitlines()
    for library in ("libggml-base.so", "libggml-cpu.so"):
        assert len({line.split()[-1] for line in maps if library in line}) == 1
