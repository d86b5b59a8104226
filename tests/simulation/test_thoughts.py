"""Words for motions and places."""

from __future__ import annotations

import numpy as np
import pytest

from hyt.simulation.thoughts import grid_word, motion_words


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ([0.0, 0.0, 0.0, 1.0], ["hold"]),
        ([0.1, -0.1, 0.14, 0.0], ["hold"]),
        ([-0.9, 0.0, 0.0, 0.0], ["left"]),
        ([0.3, 1.0, 0.2, 0.0], ["forward", "right"]),
        ([0.0, -0.5, -1.0, 0.0], ["down", "back"]),
    ],
)
def test_motion_is_named_strongest_axis_first(action: list[float], expected: list[str]) -> None:
    assert motion_words(np.array(action)) == expected


@pytest.mark.parametrize(
    ("pixel", "word"), [(-3.0, "<p00>"), (0.0, "<p00>"), (127.9, "<p63>"), (400.0, "<p63>"), (64.0, "<p32>")]
)
def test_places_are_clipped_to_the_image(pixel: float, word: str) -> None:
    assert grid_word(pixel) == word
