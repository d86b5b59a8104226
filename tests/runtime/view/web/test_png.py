"""Tests of hyt.runtime.view.web.png: Pillow reads the same image."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hyt.runtime.view.web.png import encode_png


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (64, 48), (33, 127)])
def test_an_image_comes_back_as_it_was(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    read = Image.open(io.BytesIO(encode_png(image)))
    read.load()
    assert (read.format, read.mode) == ("PNG", "RGB")
    assert np.array_equal(np.asarray(read), image)


def test_a_thinned_out_image_is_encoded_as_it_looks() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)[::3, ::3]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(image)))), image)
