"""Frames on the wire: a zero byte, COBS(header, payload, CRC-32), a zero byte; see PROTOCOL.md.

The mirror of firmware/core/{cobs,crc32,frame}.c. Nothing here does input or output, raises on hostile bytes, or keeps
more than one frame of them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from hyt.firmware_bridge.constants import CHUNK, FIRST_SCHEMA_MESSAGE, HEADER, MAX_POINTS, PROTOCOL_VERSION, SCHEMA_HASH

CRC_SIZE = 4
MAX_FRAME = HEADER.size + CHUNK.size + 4 * MAX_POINTS + CRC_SIZE
MAX_ENCODED = MAX_FRAME + MAX_FRAME // 254 + 1  # without the two delimiters


@dataclass(frozen=True)
class Frame:
    """One frame: the header's fields in their order, then the payload."""

    type: int
    session: int
    sequence: int
    acknowledgement: int
    tick: int
    payload: bytes = b""
    version: int = PROTOCOL_VERSION


def cobs_encode(data: bytes) -> bytes:
    """Bytes without a zero that stand for `data`; one byte longer per 254 and one more."""
    out = bytearray()
    blocks = data.split(b"\0")
    last = len(blocks) - 1
    for index, block in enumerate(blocks):
        full = len(block) // 254
        for start in range(0, full * 254, 254):
            out += b"\xff" + block[start : start + 254]
        rest = block[full * 254 :]
        # A full block at the very end stands for itself; anywhere else its zero needs a code of its own.
        if rest or index < last or not full:
            out.append(len(rest) + 1)
            out += rest
    return bytes(out)


def cobs_decode(encoded: bytes) -> bytes | None:
    """The bytes that `encoded` stands for, or None when it is empty, holds a zero or ends within a block."""
    if not encoded or 0 in encoded:
        return None
    out = bytearray()
    position, size = 0, len(encoded)
    while position < size:
        code = encoded[position]
        end = position + code
        if end > size:
            return None
        out += encoded[position + 1 : end]
        position = end
        if code != 0xFF and position < size:
            out.append(0)
    return bytes(out)


def _crc(body: bytes, schema: int) -> int:
    return zlib.crc32(body, 0 if body[1] < FIRST_SCHEMA_MESSAGE else schema)


def encode_frame(frame: Frame, schema: int = SCHEMA_HASH) -> bytes:
    """The frame with both delimiters."""
    header = HEADER.pack(frame.version, frame.type, frame.session, frame.sequence, frame.acknowledgement, frame.tick)
    body = header + frame.payload
    return b"\0" + cobs_encode(body + _crc(body, schema).to_bytes(CRC_SIZE, "little")) + b"\0"


class FrameDecoder:
    """Collects bytes to frames; what is no good frame is counted and dropped, and never touches its neighbours."""

    def __init__(self, schema: int = SCHEMA_HASH) -> None:
        self._schema = schema
        self._pending = bytearray()
        self._overflow = False
        self.bad_framing = 0
        self.bad_crc = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end within `data`; call it with every byte received, in order."""
        frames = []
        *ended, rest = data.split(b"\0")
        for part in ended:
            self._append(part)
            if self._overflow:
                self.bad_framing += 1
            elif self._pending and (frame := self._decode(bytes(self._pending))):
                frames.append(frame)
            self._pending.clear()
            self._overflow = False
        self._append(rest)
        return frames

    def _append(self, part: bytes) -> None:
        if self._overflow or len(self._pending) + len(part) > MAX_ENCODED:
            self._overflow = True
            self._pending.clear()
        else:
            self._pending += part

    def _decode(self, encoded: bytes) -> Frame | None:
        raw = cobs_decode(encoded)
        if raw is None or not HEADER.size + CRC_SIZE <= len(raw) <= MAX_FRAME:
            self.bad_framing += 1
            return None
        body = raw[:-CRC_SIZE]
        if _crc(body, self._schema) != int.from_bytes(raw[-CRC_SIZE:], "little"):
            self.bad_crc += 1
            return None
        version, type_, session, sequence, acknowledgement, tick = HEADER.unpack_from(body)
        return Frame(type_, session, sequence, acknowledgement, tick, body[HEADER.size :], version)
