"""The draft head in the core: it guesses what NumPy guesses, its guesses change nothing, and damage is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import ACT, FOLLOW, THINK, WIDE, make_draft
from conftest import Opened
from guessed import check_same, facts
from model_gguf import write_head
from numpy.typing import NDArray

from hyt.runtime import _core

Open = Callable[..., Opened]
Head = dict[str, torch.Tensor]
UNITS = 24


@pytest.fixture
def opened(open_case: Open) -> Opened:
    return open_case(WIDE, 1, "q4_0")


def session_with(opened: Opened, folder: Path, head: Head, how: str = "draft", **changes: object) -> _core.Session:
    path = folder / "head.gguf"
    write_head(path, head, prefix="draft")
    return opened.session(head=str(path), draft_units=len(head["up.bias"]), speculate=how, **changes)


def guesses(head: Head, state: NDArray[np.float32], first: int) -> list[int]:
    """The head in NumPy, in double: indices of the tokens behind the first."""
    t = {name: value.numpy().astype(np.float64) for name, value in head.items()}
    z = np.maximum(t["up.weight"] @ state + t["first.weight"][first] + t["up.bias"], 0)
    scores = (t["down.weight"] @ z + t["down.bias"]).reshape(-1, len(t["first.weight"]))
    return [int(index) for index in scores.argmax(axis=1)]


def counted(guess: list[int], right: list[int], most: int) -> tuple[int, int]:
    """Guesses that passes of up to `most` tokens check behind the first token, and those that are right."""
    said, drafted, accepted = 1, 0, 0
    while said < len(right):
        rows = min(most, len(right) - said)
        same = 0
        while same < rows - 1 and guess[said - 1 + same] == right[said + same]:
            same += 1
        drafted += rows - 1
        accepted += same
        said += same + 1
    return drafted, accepted


def knowing(head: Head, right: list[int], shape_bins: int, upto: int) -> Head:
    """A head that guesses these tokens up to a position, whatever it reads."""
    bias = head["down.bias"].clone().reshape(-1, shape_bins)
    for position, index in enumerate(right[1:upto]):
        bias[position, index] += 1e4
    return head | {"down.bias": bias.reshape(-1)}


@pytest.mark.parametrize("rows", [2, 3, 8])
def test_its_guesses_are_those_of_numpy(opened: Opened, tmp_path: Path, rows: int) -> None:
    actions = opened.case.contract["action"]["token_ids"]
    random = make_draft(replace(WIDE, draft_units=UNITS))
    plain = opened.session()
    accepted = 0
    for seed in range(6):
        plain.observe(opened.case.images, opened.case.layout(seed, 6))
        expected = plain.act(ACT)
        right = [actions.index(token) for token in expected.tokens.tolist()]
        head = knowing(random, right, WIDE.action_bins, seed + 2) if seed % 2 else random
        session = session_with(opened, tmp_path, head, speculation_rows=rows)
        session.observe(opened.case.images, opened.case.layout(seed, 6))
        check_same(expected, session.act(ACT), session)
        if not facts(session)["exact"]:
            continue
        found = facts(session)
        guess = guesses(head, session.act_state(), right[0])
        assert (found["drafted"], found["accepted"]) == counted(guess, right, rows)
        accepted += int(str(found["accepted"]))
    assert accepted > 0 or not _core.system()["kernels"]


def test_every_modality_says_the_same(opened: Opened, tmp_path: Path) -> None:
    plain = opened.session()
    for how in ("draft", "auto"):
        session = session_with(opened, tmp_path, make_draft(replace(WIDE, draft_units=UNITS)), how)
        for seed in range(30 if how == "auto" else 3):
            for each in (plain, session):
                each.observe(opened.case.images, opened.case.layout(seed // 6, 6))
                each.think_begin(THINK)
                each.think()
            check_same(plain.act(ACT), session.act(ACT), session)
            check_same(plain.act_after_thought(), session.act_after_thought(), session)
            layout = opened.case.layout(seed + 50, 4)
            check_same(plain.follow(layout, FOLLOW), session.follow(layout, FOLLOW), session)
            assert session.act_state().tobytes() == plain.act_state().tobytes()


def test_one_of_another_shape_or_with_nan_is_refused(opened: Opened, tmp_path: Path) -> None:
    head = make_draft(replace(WIDE, draft_units=4))
    damaged = {
        "draft.up.weight; expected (256, 4); received (255, 4)": {"up.weight": head["up.weight"][:, 1:].clone()},
        "draft.first.weight; expected (4, 16); received (4, 15)": {"first.weight": head["first.weight"][1:].clone()},
        "draft.down.bias; expected (112); received (111)": {"down.bias": head["down.bias"][1:].clone()},
        "draft.up.bias; expected finite weights": {"up.bias": torch.tensor([0.0, float("nan"), 0.0, 0.0])},
    }
    for expected, change in damaged.items():
        with pytest.raises(_core.CoreError) as caught:
            session_with(opened, tmp_path, head | change)
        assert expected in str(caught.value)
    with pytest.raises(_core.CoreError, match="speculate; expected auto, off or last for a policy without a draft"):
        opened.session(speculate="draft")
    with pytest.raises(_core.CoreError, match="draft_units"):
        session_with(opened, tmp_path, head, action_tokens=1)
