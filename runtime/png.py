"""PNG without loss for uint8 RGB images, as any viewer reads it; bounded when it reads.

The writer takes one filter (each row less the row above) and zlib's fastest level: numpy and zlib do that outside
Python's lock, where an image library would hold up the control loop for as long as it compresses. The reader takes what
this writer wrote, and no other PNG.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2
_RGB8 = (8, 2, 0, 0, 0)  # bit depth, colour type, compression, filter method, interlacing
_HEADER = struct.Struct(">II5B")


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """A PNG file of an image uint8 (height, width, 3), RGB."""
    height, width, _ = image.shape
    rows = image.reshape(height, width * 3)
    filtered = np.empty((height, 1 + width * 3), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = _HEADER.pack(width, height, *_RGB8)
    return b"".join(
        (SIGNATURE, _part(b"IHDR", header), _part(b"IDAT", zlib.compress(filtered.data, 1)), _part(b"IEND", b""))
    )


def decode_png(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """The image uint8 (height, width, 3) of a file of `encode_png`; raises ValueError in a few words for any other."""
    if not data.startswith(SIGNATURE):
        raise ValueError("no PNG")
    parts = list(_parts(data))
    if [kind for kind, _ in parts] != [b"IHDR", b"IDAT", b"IEND"]:
        raise ValueError("a PNG of other parts than IHDR, IDAT and IEND")
    header = parts[0][1]
    if len(header) != _HEADER.size or _HEADER.unpack(header)[2:] != _RGB8:
        raise ValueError("a PNG that is not 8-bit RGB")
    if _HEADER.unpack(header)[:2] != (width, height):
        raise ValueError(f"a PNG of (height, width) {_HEADER.unpack(header)[1::-1]}, not {(height, width)}")
    size = height * (1 + width * 3)
    unpacker = zlib.decompressobj()
    try:
        pixels = unpacker.decompress(parts[1][1], size + 1)
    except zlib.error as problem:
        raise ValueError(f"a damaged PNG: {problem}") from None
    if len(pixels) != size or not unpacker.eof:
        raise ValueError("a PNG with too few or too many pixels")
    rows = np.frombuffer(pixels, np.uint8).reshape(height, 1 + width * 3)
    if (rows[:, 0] != _UP).any():
        raise ValueError("a PNG with another filter")
    image: NDArray[np.uint8] = np.add.accumulate(rows[:, 1:], axis=0, dtype=np.uint8)
    return image.reshape(height, width, 3)


def _part(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _parts(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of each part; raises ValueError where they do not add up."""
    parts: list[tuple[bytes, bytes]] = []
    at = len(SIGNATURE)
    while at < len(data) and len(parts) < 4:
        if at + 12 > len(data):
            raise ValueError("a PNG that was cut short")
        length = int.from_bytes(data[at : at + 4], "big")
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        if len(checksum) != 4 or zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            raise ValueError("a PNG whose checksum is wrong")
        parts.append((kind, content))
        at += 12 + length
    return parts
