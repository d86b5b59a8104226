"""Wrong arguments and wrong files end in a CoreError of one line that names what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkpoints import ACT, DEFAULT, THINK
from conftest import TEXT_TOKENS, Opened
from model_gguf import write_gguf
from reference import make_case

from hyt.runtime import _core

Open = Callable[..., Opened]


@pytest.fixture
def opened(open_case: Open) -> Opened:
    return open_case(DEFAULT, 1)


@pytest.fixture
def session(opened: Opened) -> _core.Session:
    return opened.session()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threads": -1}, "threads; expected 0 to 512; received -1"),
        ({"image_count": -1}, "image_count; expected 0 to 64"),
        ({"max_text_tokens": 1 << 40}, "max_text_tokens; expected 0 to 1048576"),
        ({"max_thought_tokens": -1}, "max_thought_tokens; expected 0 to"),
        ({"action_tokens": 0}, "action_tokens; expected 1 to"),
        ({"action_token_ids": []}, "number of action token ids; expected 1 to"),
        ({"action_token_ids": [1, 5000]}, "action token id; expected 0 to 72; received 5000"),
        ({"thought_suppressed_ids": [-1]}, "suppressed id; expected 0 to 72; received -1"),
        ({"thought_end_id": 73}, "thought end id; expected 0 to 72; received 73"),
        ({"thought_suppressed_ids": [9]}, "thought end id; expected an id that is not suppressed"),
        ({"vocab_size": 74}, "vocab_size; expected 0 to 73; received 74"),
        ({"kv_type": "q4_0"}, "kv_type; expected f32 or f16; received 'q4_0'"),
        ({"max_thought_tokens": 500}, "context; expected at most 256 positions"),
    ],
)
def test_a_wrong_setting_is_refused(opened: Opened, change: dict[str, object], message: str) -> None:
    with pytest.raises(_core.CoreError) as caught:
        opened.session(**change)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ([-1, 73], "layout: token id; expected 0 to 72; received 73"),
        ([-2, 3], "layout: image; expected 0 to 0; received 1"),
        ([-(2**31), 3], "layout: image; expected 0 to 0"),
        ([-1, -1, 3], "layout: image 0; expected one place; received two"),
        ([3, 4], "layout; expected each of 1 images once"),
        ([], "layout; expected each of 1 images once"),
        ([-1] + [3] * (TEXT_TOKENS + 1), "layout: text tokens; expected 0 to 20; received 21"),
    ],
)
def test_a_wrong_layout_is_refused_and_changes_nothing(
    opened: Opened, session: _core.Session, layout: list[int], message: str
) -> None:
    session.observe(opened.case.images, opened.case.layout(0, 6))
    expected = session.act(ACT).tokens.tolist()
    for call in (
        lambda: session.observe(opened.case.images, np.array(layout, np.int32)),
        lambda: session.follow(np.array(layout, np.int32), ACT),
    ):
        with pytest.raises(_core.CoreError) as caught:
            call()
        assert str(caught.value).startswith(message)
    assert session.act(ACT).tokens.tolist() == expected


def test_wrong_images_are_refused(opened: Opened, session: _core.Session) -> None:
    layout, image = opened.case.layout(0, 3), opened.case.images[0]
    for images, message in (
        ([], "images; expected 1; received 0"),
        ([image, image], "images; expected 1; received 2"),
        ([image[:-1]], r"image; expected \(28, 28, 3\); received \(27, 28, 3\)"),
        ([image.astype(np.float32)], "image; expected a uint8 array"),
        ([image[:, :, :1]], r"image; expected a contiguous array \(height, width, 3\)"),
        ([image.transpose(1, 0, 2)], r"image; expected a contiguous array \(height, width, 3\)"),
    ):
        with pytest.raises(_core.CoreError, match=message):
            session.observe(images, layout)


def test_answers_need_what_comes_before_them(opened: Opened, session: _core.Session) -> None:
    layout = opened.case.layout(0, 3)
    for call in (lambda: session.act(ACT), lambda: session.follow(layout, ACT), lambda: session.think_begin(THINK)):
        with pytest.raises(_core.CoreError, match="session; expected an observation first; received none"):
            call()
    with pytest.raises(_core.CoreError, match="session; expected think_begin first; received no open thought"):
        session.think()
    session.observe(opened.case.images, layout)
    session.think_begin(THINK)
    with pytest.raises(_core.CoreError, match="session; expected a finished thought; received one that goes on"):
        session.act_after_thought()
    for tag in (-1, 73):
        with pytest.raises(_core.CoreError, match="tag; expected 0 to 72"):
            session.act(tag)
    with pytest.raises(_core.CoreError, match="tokens; expected 1 to"):
        session.logits(layout, None, np.zeros(500, np.int32))


@pytest.mark.parametrize("file", ["language", "vision"])
def test_a_file_that_is_missing_or_no_gguf_is_named(opened: Opened, tmp_path: Path, file: str) -> None:
    text = tmp_path / "text.gguf"
    text.write_text("not a GGUF file, though long enough to be one")
    for path, message in ((tmp_path / "none.gguf", "a readable GGUF file"), (text, "magic 'GGUF'")):
        paths = {"language": opened.files.language, "vision": opened.files.vision, file: str(path)}
        with pytest.raises(_core.CoreError, match=message) as caught:
            Opened(opened.case, type(opened.files)(**paths)).session()
        assert caught.value.subject.startswith(str(path))


def test_files_of_two_models_do_not_go_together(opened: Opened, tmp_path: Path) -> None:
    from dataclasses import replace

    other = make_case(replace(DEFAULT, hidden=32), 1)
    files = write_gguf(other.model, tmp_path)
    mixed = Opened(opened.case, type(files)(opened.files.language, files.vision))
    with pytest.raises(_core.CoreError, match="projection_dim; expected the decoder's width 64; received 32"):
        mixed.session()
