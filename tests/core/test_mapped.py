"""Weights that stay in their files: the same answers, and hardly any memory of our own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import ACT, AWKWARD, DEFAULT, WIDE, Shape

from hyt.runtime import _core

Open = Callable[..., Any]  # `Opened` of this folder's conftest
TOKENS = np.array([ACT, 11, 12, 13, 14], np.int32)


@pytest.mark.parametrize(
    ("shape", "quantize"), [(DEFAULT, None), (AWKWARD, None), (DEFAULT, "q4_0"), (WIDE, "q4_0"), (WIDE, "q4_k")]
)
def test_the_logits_are_those_of_copied_weights(open_case: Open, shape: Shape, quantize: str | None) -> None:
    opened = open_case(shape, 1, quantize)
    layout = opened.case.layout(1, 6)
    copied, mapped = (
        opened.session(mapped_weights=mapped).logits(layout, opened.case.images, TOKENS) for mapped in (False, True)
    )
    # The repacked layout sums in another order than the file's own; without it nothing differs.
    bound = 0.0 if quantize is None else 1e-3
    np.testing.assert_allclose(mapped, copied, rtol=0, atol=bound * np.abs(copied).max())


def test_few_weights_are_in_memory_of_our_own(open_case: Open) -> None:
    opened = open_case(WIDE, 1, "q4_0")
    copied, mapped = (opened.session(mapped_weights=mapped).info() for mapped in (False, True))
    assert mapped["weights_bytes"] < copied["weights_bytes"] / 2
    assert mapped["kv_bytes"] == copied["kv_bytes"]


def test_the_files_may_be_removed_but_are_not_closed(open_case: Open, tmp_path: Path) -> None:
    opened = open_case(DEFAULT, 1, "q4_0")
    paths = [shutil.copy(path, tmp_path) for path in (opened.files.language, opened.files.vision)]
    expected = opened.session(mapped_weights=True)
    contract = opened.case.contract
    session = _core.Session(
        *paths, threads=1, image_count=len(opened.case.images), max_text_tokens=20, max_thought_tokens=0,
        action_tokens=8, action_token_ids=contract["action"]["token_ids"], thought_suppressed_ids=[], thought_end_id=0,
        mapped_weights=True,
    )  # fmt: skip
    for path in paths:
        Path(path).unlink()
    layout = opened.case.layout(1, 6)
    for each in (expected, session):
        each.observe(opened.case.images, layout)
    np.testing.assert_array_equal(session.act(ACT).tokens, expected.act(ACT).tokens)


def test_the_same_weights_give_the_same_answer_every_time(open_case: Open) -> None:
    opened = open_case(WIDE, 1, "q4_0")
    layout = opened.case.layout(1, 6)
    answers = [
        opened.session(mapped_weights=True).logits(layout, opened.case.images, TOKENS).tobytes() for _ in range(2)
    ]
    assert answers[0] == answers[1]
