"""Tests of hyt.runtime.png against Pillow."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hyt.runtime.png import decode_png, encode_png


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (128, 128), (33, 50)])
def test_pillow_reads_the_pixels_that_were_written(size: tuple[int, int]) -> None:
    image = noise(*size)
    data = encode_png(image)
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(picture), image)
    np.testing.assert_array_equal(decode_png(data, *size), image)


def test_a_thinned_out_image_is_encoded_as_it_looks() -> None:
    image = noise(40, 60)[::3, ::3]
    with Image.open(io.BytesIO(encode_png(image))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), image)


def part(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_pixels(pixels: bytes, header: tuple[int, ...] = (4, 4, 8, 2, 0, 0, 0)) -> bytes:
    parts = part(b"IHDR", struct.pack(">II5B", *header)) + part(b"IDAT", zlib.compress(pixels)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


ROWS = (b"\x02" + bytes(12)) * 4


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GIF89a", "no PNG"),
        (encode_png(noise(4, 4))[:40], "cut short|checksum"),
        (encode_png(noise(4, 4))[:-5] + b"12345", "checksum"),
        (encode_png(noise(4, 5)), r"\(height, width\) \(4, 5\), not \(4, 4\)"),
        (with_pixels(ROWS[:-1]), "too few or too many pixels"),
        (with_pixels(ROWS + b"\x02"), "too few or too many pixels"),
        (with_pixels(bytes(50_000_000)), "too few or too many pixels"),  # of which no more is unpacked than fits
        (with_pixels((b"\x04" + bytes(12)) * 4), "another filter"),
        (with_pixels(ROWS, (4, 4, 16, 2, 0, 0, 0)), "not 8-bit RGB"),
    ],
)
def test_another_png_is_refused_in_a_few_words(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode_png(data, 4, 4)
