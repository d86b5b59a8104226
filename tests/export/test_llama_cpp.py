"""Stock llama.cpp, through llama-cpp-python, loads language.gguf and agrees with transformers' Gemma 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import AWKWARD, DEFAULT, WIDE, Checkpoint, Shape, write_checkpoint
from gguf_files import write_gguf_files
from stock_llama import llama_logits
from transformers import Gemma2ForCausalLM

# Largest difference of a logit, as a share of the largest logit. What is left in float32 is llama.cpp's GELU, which it
# looks up in a table of float16; measured 1e-4 to 3.5e-4.
F32_TOLERANCE = 1e-3


def reference_logits(checkpoint: Checkpoint, ids: list[int]) -> np.ndarray:
    """float32 (positions, vocab) of the language part alone under a causal mask, soft-caps and all."""
    text = checkpoint.model.model.language_model
    model = Gemma2ForCausalLM(checkpoint.model.config.text_config)
    model.set_attn_implementation("eager")
    model.eval().model.load_state_dict(text.state_dict())
    model.lm_head.weight = model.model.embed_tokens.weight
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


@pytest.mark.parametrize("shape", [DEFAULT, AWKWARD, WIDE])
def test_logits_of_an_f32_file_agree_on_a_token_prompt(tmp_path: Path, shape: Shape) -> None:
    checkpoint = write_checkpoint(tmp_path / "c", shape, seed=5)
    write_gguf_files(checkpoint.path, tmp_path, "f32")
    ids = np.random.default_rng(0).integers(0, shape.vocab_size, 24).tolist()
    expected = reference_logits(checkpoint, ids)
    actual = llama_logits(tmp_path / "language.gguf", ids)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= F32_TOLERANCE * np.abs(expected).max()


def test_logits_of_a_q8_0_file_stay_near_and_its_clear_tokens_agree(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "c", DEFAULT, seed=6)
    write_gguf_files(checkpoint.path, tmp_path, "q8_0")
    ids = np.random.default_rng(1).integers(0, DEFAULT.vocab_size, 24).tolist()
    expected = reference_logits(checkpoint, ids)
    actual = llama_logits(tmp_path / "language.gguf", ids)
    error = np.abs(actual - expected).max()
    assert error <= 0.05 * np.abs(expected).max()
    best = np.sort(expected, axis=1)
    clear = best[:, -1] - best[:, -2] > 2 * error
    assert clear.sum() >= 8
    np.testing.assert_array_equal(actual.argmax(axis=1)[clear], expected.argmax(axis=1)[clear])
