"""Tests of hyt.runtime.view.picture: an image as coloured half blocks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from hyt.runtime.view.picture import Picture, shrink


def test_a_pixel_of_the_picture_is_the_mean_of_those_it_stands_for() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    reference = np.asarray(Image.fromarray(image).resize((24, 16), Image.Resampling.BOX), dtype=int)
    assert np.abs(shrink(image, 24).astype(int) - reference).max() <= 8  # one shade


@pytest.mark.parametrize("size", [(1, 1), (480, 640), (7, 200), (200, 7), (30, 31)])
def test_any_image_has_an_even_number_of_rows_and_no_more_columns_than_allowed(size: tuple[int, int]) -> None:
    picture = shrink(np.full((*size, 3), 200, np.uint8), 32)
    assert picture.shape[0] % 2 == 0
    assert 1 <= picture.shape[1] <= 32
    assert (picture == 200).all()


def test_two_rows_of_pixels_are_one_line_of_half_blocks() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[0] = (248, 0, 0)
    image[1, 2] = (0, 248, 0)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=20)
    console.print(Picture(image, 3))
    assert console.file.getvalue() == (  # type: ignore[attr-defined]
        "\x1b[38;2;248;0;0;48;2;0;0;0m▀▀\x1b[0m\x1b[38;2;248;0;0;48;2;0;248;0m▀\x1b[0m\n"
    )
