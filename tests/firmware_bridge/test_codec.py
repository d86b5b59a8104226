"""The codec against a reference that was written from the papers: COBS byte by byte, CRC-32 bit by bit."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from hyt.firmware_bridge.codec import MAX_ENCODED, Frame, FrameDecoder, cobs_decode, cobs_encode, encode_frame
from hyt.firmware_bridge.constants import HEADER, SCHEMA_HASH, MessageType

frames = st.builds(
    Frame,
    type=st.integers(0, 255),
    session=st.integers(0, 2**32 - 1),
    sequence=st.integers(0, 2**16 - 1),
    acknowledgement=st.integers(0, 2**16 - 1),
    tick=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=600),
)
# Long runs without a zero exercise the 254-byte blocks.
datas = st.one_of(st.binary(max_size=50), st.integers(240, 800).map(lambda n: b"\x05" * n), st.binary(max_size=1000))


def reference_cobs(data: bytes) -> bytes:
    """Cheshire and Baker's StuffData: a code byte before each run, 0xFF for 254 bytes without a zero."""
    out, run, closed = bytearray(), bytearray(), False
    for byte in data:
        closed = False
        if byte == 0:
            out += bytes([len(run) + 1]) + run
            run.clear()
        else:
            run.append(byte)
            if len(run) == 254:
                out += b"\xff" + run
                run.clear()
                closed = True
    return bytes(out if closed else out + bytes([len(run) + 1]) + run)


def reference_crc(data: bytes, seed: int) -> int:
    crc = seed ^ 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@given(datas)
def test_cobs_is_that_of_the_paper_and_goes_back(data: bytes) -> None:
    encoded = cobs_encode(data)
    assert encoded == reference_cobs(data)
    assert 0 not in encoded
    assert cobs_decode(encoded) == data


@given(st.binary(max_size=300))
def test_decoding_any_bytes_gives_bytes_or_none(data: bytes) -> None:
    decoded = cobs_decode(data)
    assert decoded is None or len(decoded) < len(data)


@given(frames)
def test_a_frame_is_laid_out_as_the_protocol_says(frame: Frame) -> None:
    fields = (frame.version, frame.type, frame.session, frame.sequence, frame.acknowledgement, frame.tick)
    body = b"".join(v.to_bytes(n, "little") for v, n in zip(fields, (1, 1, 4, 2, 2, 4), strict=True)) + frame.payload
    crc = reference_crc(body, 0 if frame.type < 16 else SCHEMA_HASH)
    assert crc == zlib.crc32(body, 0 if frame.type < 16 else SCHEMA_HASH)
    assert encode_frame(frame) == b"\0" + reference_cobs(body + crc.to_bytes(4, "little")) + b"\0"


@given(st.lists(frames, max_size=5), st.data())
def test_frames_arrive_however_the_bytes_are_cut(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(encode_frame(frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder, received = FrameDecoder(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += decoder.feed(stream[begin:end])
    assert received == sent


@given(frames, frames, st.data())
def test_a_damaged_frame_is_not_accepted_and_loses_no_neighbour(good: Frame, bad: Frame, data: st.DataObject) -> None:
    neighbour, damaged = encode_frame(good), bytearray(encode_frame(bad))
    at = data.draw(st.integers(1, len(damaged) - 2))
    damaged[at] ^= data.draw(st.integers(1, 255))
    decoder = FrameDecoder()
    assert decoder.feed(neighbour + bytes(damaged) + neighbour) == [good, good]
    assert decoder.bad_framing + decoder.bad_crc >= 1


@given(st.lists(st.binary(max_size=4000), max_size=4))
def test_hostile_bytes_neither_raise_nor_pile_up(chunks: list[bytes]) -> None:
    decoder = FrameDecoder()
    for chunk in chunks:
        decoder.feed(chunk)
        assert len(decoder._pending) <= MAX_ENCODED
    frame = Frame(MessageType.PING, 1, 2, 3, 4, b"abcd")
    assert decoder.feed(encode_frame(frame))[-1] == frame


def test_a_frame_of_another_schema_is_damaged_unless_it_is_the_handshake() -> None:
    other = FrameDecoder(schema=SCHEMA_HASH ^ 1)
    assert other.feed(encode_frame(Frame(MessageType.PING, 1, 0, 0, 0, bytes(4)))) == []
    assert other.bad_crc == 1
    assert len(other.feed(encode_frame(Frame(MessageType.HELLO, 1, 0, 0, 0, bytes(4))))) == 1


def test_an_overlong_frame_is_counted_once_and_the_next_one_arrives() -> None:
    decoder = FrameDecoder()
    for _ in range(10):
        assert decoder.feed(b"\x01" * MAX_ENCODED) == []
    frame = Frame(MessageType.PING, 1, 2, 3, 4, b"abcd")
    assert decoder.feed(encode_frame(frame)) == [frame]
    assert (decoder.bad_framing, decoder.bad_crc) == (1, 0)


def test_the_header_is_14_bytes() -> None:
    assert HEADER.size == 14
