"""A watched session shows what goes into every weight matrix, as transformers' linear layers see it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from checkpoints import ACT, DEFAULT
from conftest import Opened
from model_gguf import TEXT_NAMES, VISION_NAMES
from reference import Decoding

from hyt.runtime import _core

Inputs = dict[str, list[np.ndarray]]
BOUND = 1e-2  # ggml's own GELU, which a session without our kernels has, reads a half-precision table
# Of matrices that the core lays one below the other, the watcher is told the first.
STACKED = {"attn_k": "attn_q", "attn_v": "attn_q", "ffn_up": "ffn_gate"}


@pytest.fixture(scope="module")
def opened(open_case: Callable[..., Opened]) -> Opened:
    return open_case(DEFAULT, 0)


def watched(session: _core.Session) -> Inputs:
    inputs: Inputs = {}
    session.watch(lambda name, rows: inputs.setdefault(name, []).append(rows))
    return inputs


def reference_inputs(model: torch.nn.Module, run: Callable[[], object]) -> Inputs:
    """The inputs of the linear layers in the blocks of both parts, by the GGUF name of their matrix."""
    inputs: Inputs = {}
    hooks = []
    for name, layer in model.named_modules():
        part, _, place = name.partition(".layers.")
        if not place or not isinstance(layer, torch.nn.Linear):
            continue
        index, _, kind = place.partition(".")
        gguf = f"blk.{index}.{TEXT_NAMES[kind]}" if "language" in part else f"v.blk.{index}.{VISION_NAMES[kind]}"

        def note(_: object, given: tuple[torch.Tensor, ...], __: object, gguf: str = gguf) -> None:
            inputs.setdefault(f"{gguf}.weight", []).append(given[0].reshape(-1, given[0].shape[-1]).numpy())

        hooks.append(layer.register_forward_hook(note))
    run()
    for hook in hooks:
        hook.remove()
    return inputs


def test_every_matrix_is_shown_the_inputs_of_the_reference(opened: Opened) -> None:
    layout = opened.case.layout(0, 6)
    session = opened.session(own_kernels=False)
    ours = watched(session)
    session.observe(opened.case.images, layout)
    tokens = session.act(ACT).tokens.tolist()

    def run() -> None:
        decoding = Decoding(opened.case, layout)
        for token in [ACT, *tokens[:-1]]:
            decoding.feed(token)

    theirs = reference_inputs(opened.case.model, run)
    last = f"blk.{opened.case.shape.layers - 1}."
    for name, rows in theirs.items():
        kind = name.split(".")[-2]
        held = ours[name if name.startswith("v.") and kind == "ffn_up" else name.replace(kind, STACKED.get(kind, kind))]
        if name.startswith(last) and STACKED.get(kind, kind) != "attn_q":
            rows = rows[1:]  # of the last layer the core computes keys and values alone in the prefix
        np.testing.assert_allclose(np.concatenate(held), np.concatenate(rows), rtol=0, atol=BOUND, err_msg=name)
    assert {"v.patch_embd.weight", "mm.0.weight", "token_embd.weight.chosen"} <= set(ours)


def test_a_watched_session_answers_as_before_and_is_told_of_nothing_once_that_ends(opened: Opened) -> None:
    session = opened.session(own_kernels=False)
    session.observe(opened.case.images, opened.case.layout(0, 6))
    before = session.act(ACT)
    inputs = watched(session)
    during = session.act(ACT)
    np.testing.assert_array_equal(during.probabilities, before.probabilities)
    session.watch(None)
    count = sum(map(len, inputs.values()))
    session.act(ACT)
    assert sum(map(len, inputs.values())) == count > 0


def test_products_with_float32_activations_are_shown_too(open_case: Callable[..., Opened]) -> None:
    opened = open_case(DEFAULT, 1, "q4_0")
    told = []
    for activations in ("int8", "float32"):
        session = opened.session(own_kernels=False, activations=activations)
        inputs = watched(session)
        session.observe(opened.case.images, opened.case.layout(0, 6))
        session.act(ACT)
        told.append({name: sum(map(len, rows)) for name, rows in inputs.items()})
    assert told[0] == told[1]


def test_what_a_watcher_raises_ends_the_call_and_the_session_goes_on(opened: Opened) -> None:
    session = opened.session(own_kernels=False)
    session.observe(opened.case.images, opened.case.layout(0, 6))
    before = session.act(ACT).tokens

    def fail(name: str, rows: np.ndarray) -> None:
        raise ValueError(f"no more of {name}")

    session.watch(fail)
    with pytest.raises(ValueError, match=r"no more of blk\.0\.attn_q\.weight"):
        session.act(ACT)
    session.watch(None)
    session.observe(opened.case.images, opened.case.layout(0, 6))
    np.testing.assert_array_equal(session.act(ACT).tokens, before)
