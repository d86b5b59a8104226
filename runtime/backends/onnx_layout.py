"""A prefix as the graphs take it: token ids, and the positions that image tokens take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hyt.errors import HytError
from hyt.runtime.contract import Contract


@dataclass(frozen=True)
class Layout:
    """ids int64 (n,), 0 where an image token stands; image_rows int64 (image tokens,): the position of each."""

    ids: NDArray[np.int64]
    image_rows: NDArray[np.int64]


def read_layout(layout: NDArray[np.int32], images: int, per_image: int, contract: Contract) -> Layout:
    """Lay out a prefix, -1 - i standing for image i; raises HytError unless each image stands in it once."""
    ids: list[int] = []
    rows: list[NDArray[np.int64] | None] = [None] * images
    for entry in layout.tolist():
        if entry >= 0:
            _check("layout: token id", entry, contract.vocab_size - 1)
            ids.append(entry)
            continue
        image = -1 - entry
        _check("layout: image", image, images - 1)
        if rows[image] is not None:
            raise HytError(f"layout: image {image}", expected="one place", received="two")
        rows[image] = np.arange(len(ids), len(ids) + per_image, dtype=np.int64)
        ids += [0] * per_image
    there = [row for row in rows if row is not None]
    if len(there) != images:
        raise HytError("layout", expected=f"each of {images} images once", received="a layout without one")
    text, most = len(ids) - images * per_image, contract.max_text_positions()
    if not (0 if images else 1) <= text <= most:
        raise HytError("layout: text tokens", expected=f"{0 if images else 1} to {most}", received=str(text))
    return Layout(np.array(ids, np.int64), np.concatenate(there) if there else np.empty(0, np.int64))


def check_images(images: Sequence[NDArray[np.uint8]], count: int, size: int) -> None:
    """Refuse images of another number, type or size."""
    if len(images) != count:
        raise HytError("images", expected=str(count), received=str(len(images)))
    for image in images:
        if image.dtype != np.uint8 or image.shape != (size, size, 3):
            expected = f"uint8 ({size}, {size}, 3)"
            raise HytError("image", expected=expected, received=f"{image.dtype} {image.shape}")


def _check(subject: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise HytError(subject, expected=f"0 to {most}", received=str(value))
