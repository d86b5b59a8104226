"""A family's bundle against its reference: logits position by position, and the greedy action tokens of a policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from families import Case
from numpy.typing import NDArray
from stock_llama import llama_logits

import hyt
from hyt.runtime import _core
from hyt.runtime.backends.onnx import OnnxBackend
from hyt.runtime.bundle import Bundle, open_bundle

# Largest difference of a logit, as a share of the largest logit: what float32 rounding explains (measured: below 3e-6).
F32_BOUND = 2e-5
# llama.cpp's GELU and SiLU, against those of torch (measured: below 4e-4).
LLAMA_CPP_BOUND = 1e-3


def random_images(bundle: Bundle, seed: int) -> dict[str, NDArray[np.uint8]]:
    """Noise for every camera."""
    rng = np.random.default_rng(seed)
    return {c.name: rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in bundle.contract.cameras}


def core_logits(
    bundle: Bundle,
    images: list[NDArray[np.uint8]],
    layout: NDArray[np.int32],
    tokens: list[int],
    own: bool = True,
    activations: str | None = None,
) -> NDArray[np.float32]:
    """Teacher-forced logits of the core."""
    session = _core.Session(
        str(bundle.language), str(bundle.vision), threads=1, image_count=len(images), max_text_tokens=len(layout),
        max_thought_tokens=0, action_tokens=len(tokens), action_token_ids=[0], thought_suppressed_ids=[],
        thought_end_id=0, own_kernels=own, activations=activations or "int8",
    )  # fmt: skip
    return session.logits(layout, images, np.array(tokens, np.int32))


def onnx_logits(
    bundle: Bundle,
    images: list[NDArray[np.uint8]],
    layout: NDArray[np.int32],
    tokens: list[int],
    activations: str | None = None,
) -> NDArray[np.float32]:
    """The same of onnxruntime over the bundle's ONNX graphs."""
    backend = OnnxBackend(bundle, threads=1, activations=activations)
    backend.observe(images, layout)
    return backend.logits(layout, np.array(tokens, np.int32))


LOGITS = {"core": core_logits, "onnx": onnx_logits}


def check_bundle(
    case: Case,
    path: Path,
    instruction: str,
    bound: float = F32_BOUND,
    backend: str = "core",
    activations: str | None = None,
) -> int:
    """Hold a bundle to its reference: logits within `bound`, and every clear action token; how many were clear."""
    bundle = open_bundle(path)
    contract = bundle.contract
    clear = 0
    with hyt.load(path, threads=1, backend=backend, activations=activations) as policy:
        policy.reset(instruction=instruction)
        for seed in range(2):
            images = random_images(bundle, seed)
            state = [0.1 * i for i in range(len(contract.state.dimensions))] if contract.state else []
            chunk = policy.act(hyt.Observation(images, state))
            order = [images[s.camera] for s in contract.prompt if s.kind == "image"]
            layout = policy.prompt.layout(policy.prompt.encode(instruction), np.array(state, np.float32))
            fed = [contract.modalities.act, *chunk.tokens.tolist()[:-1]]
            expected = case.logits(order, layout.tolist(), fed)
            error = np.abs(LOGITS[backend](bundle, order, layout, fed, activations=activations) - expected).max()
            assert error < bound * np.abs(expected).max()
            ids = list(contract.action.token_ids)
            for token, row in zip(chunk.tokens.tolist(), expected[:, ids], strict=True):
                best = np.sort(row)
                if best[-1] - best[-2] > 2 * error:
                    assert token == ids[int(row.argmax())]
                    clear += 1
    return clear


def check_llama_cpp(
    case: Case, language: Path, vocabulary: int, bound: float = LLAMA_CPP_BOUND, count: int = 50
) -> None:
    """Stock llama.cpp loads language.gguf and says what transformers says to a text of `count` tokens."""
    ids = np.random.default_rng(0).integers(0, vocabulary, count).tolist()
    actual = llama_logits(language, ids)
    expected = case.text_logits(ids)
    assert np.abs(actual - expected).max() < bound * np.abs(expected).max()
