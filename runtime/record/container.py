"""MCAP files, written and read by the `mcap` package, with what it leaves to its user: room, whole records, bounds.

A file is written chunk by chunk, past Python's buffers: what stands in a finished chunk is there even if the writer is
killed. It is read record by record; the length of each is checked against what is left of the file and against
`RECORD_LIMIT` before it is read, and so is a chunk's size before it is unpacked.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hyt.errors import MissingDependencyError, RecordingError
from hyt.runtime.record.format import MESSAGE_LIMIT, RECORD_LIMIT

if TYPE_CHECKING:
    from mcap.writer import Writer

MAGIC = b"\x89MCAP0\r\n"
CHUNK_SIZE = 64 * 2**10
"""Bytes of messages after which a chunk is written: what a killed writer loses, some decisions of a small camera."""

TOPIC_LIMIT, TOPICS_LIMIT = 256, 256
CHUNK_RECORDS_LIMIT = 100_000

_HEAD = struct.Struct("<BQ")  # opcode and length of a record
_UNREADABLE = (ValueError, OverflowError, struct.error)


class Output:
    """An open file that the writer's records go to, each at once and whole; OSError passes through."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._count = 0

    def write(self, data: bytes) -> int:
        """Write all of it."""
        rest = memoryview(data)
        while rest:
            written = os.write(self._file, rest)
            self._count += written
            rest = rest[written:]
        return len(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._count

    def sync(self) -> None:
        """Wait until it is on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


def open_writer(output: Output) -> Writer:
    """A writer of chunks compressed by Zstandard; raises MissingDependencyError without the mcap package."""
    require_mcap()
    from mcap.writer import CompressionType, Writer

    # It wants a stream's write and tell alone, whatever its type says.
    return Writer(output, chunk_size=CHUNK_SIZE, compression=CompressionType.ZSTD)  # type: ignore[arg-type]


def require_mcap() -> None:
    """Raise MissingDependencyError without the mcap package or what it compresses with."""
    try:
        import mcap.writer  # noqa: F401
        import zstandard  # noqa: F401
    except ImportError as problem:
        raise MissingDependencyError(
            "recordings", expected="the mcap package", received=str(problem), remedy="pip install 'hyt[record]'"
        ) from None


@dataclass(frozen=True)
class Metadata:
    """A metadata record: its name and entries."""

    name: str
    entries: Mapping[str, str]


@dataclass(frozen=True)
class Message:
    """A message of a topic; `log_time` in nanoseconds since 1970."""

    topic: str
    log_time: int
    data: bytes


class Reader:
    """The metadata and messages of one file, in the order in which they stand there.

    After the iteration `cut` says where a file without an end stops, "" for a whole one. Raises RecordingError for what
    is no MCAP file, and at the first record that is damaged or too large.
    """

    def __init__(self, path: Path) -> None:
        require_mcap()
        self._path = path
        self._topics: dict[int, str] = {}
        self.cut = ""

    def __iter__(self) -> Iterator[Metadata | Message]:
        try:
            # Without waiting: a pipe would keep a plain open for ever.
            with open(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise RecordingError(str(self._path), expected="a file of hyt-run drive --record")
                if file.read(len(MAGIC)) != MAGIC:
                    raise RecordingError(str(self._path), expected="an MCAP file", received="another")
                yield from self._records(file, os.fstat(file.fileno()).st_size)
        except OSError as problem:
            raise RecordingError(
                str(self._path), expected="a readable file", received=problem.strerror or str(problem)
            ) from None

    def _records(self, file: BinaryIO, size: int) -> Iterator[Metadata | Message]:
        from mcap.opcode import Opcode

        while True:
            at = file.tell()
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                return self._stop(file, at, size)
            opcode, length = _HEAD.unpack(head)
            if length > size - file.tell():
                return self._stop(file, at, size)
            if opcode == Opcode.DATA_END:
                return None
            if length > RECORD_LIMIT:
                raise self._damaged(at, f"a record of at most {RECORD_LIMIT} bytes", f"one of {length}")
            body = file.read(length)
            if opcode == Opcode.CHUNK:
                yield from self._inside(self._unpacked(body, at), at)
            else:
                yield from self._record(opcode, body, at)

    def _stop(self, file: BinaryIO, at: int, size: int) -> None:
        """A closed file ends with the magic: with it, a record that does not fit is damage, not a sudden end."""
        file.seek(-len(MAGIC), os.SEEK_END)
        if file.read() == MAGIC and at > len(MAGIC):
            raise self._damaged(at, "a record within the file", "one that reaches past its end")
        self.cut = f"it ends within a record at byte {at}" if at < size else f"it ends after byte {at}"

    def _inside(self, data: bytes, at: int) -> Iterator[Metadata | Message]:
        """The records of an unpacked chunk that stands `at` a byte of the file."""
        begin = count = 0
        while begin < len(data):
            count += 1
            if count > CHUNK_RECORDS_LIMIT:
                raise self._damaged(at, f"a chunk of at most {CHUNK_RECORDS_LIMIT} records", "one of more")
            if begin + _HEAD.size > len(data):
                raise self._damaged(at, "whole records in a chunk", "one that was cut short")
            opcode, length = _HEAD.unpack_from(data, begin)
            begin += _HEAD.size
            if length > len(data) - begin:
                raise self._damaged(at, "whole records in a chunk", "one that reaches past its end")
            yield from self._record(opcode, data[begin : begin + length], at)
            begin += length

    def _record(self, opcode: int, body: bytes, at: int) -> Iterator[Metadata | Message]:
        from mcap import records
        from mcap.data_stream import ReadDataStream
        from mcap.exceptions import McapError
        from mcap.opcode import Opcode

        if opcode in (Opcode.CHANNEL, Opcode.METADATA) and len(body) > MESSAGE_LIMIT:
            raise self._damaged(at, f"a record of at most {MESSAGE_LIMIT} bytes", f"one of {len(body)}")
        stream = ReadDataStream(BytesIO(body))
        try:
            if opcode == Opcode.CHANNEL:
                channel = records.Channel.read(stream)
                if len(channel.topic) > TOPIC_LIMIT or len(self._topics) >= TOPICS_LIMIT:
                    raise self._damaged(at, f"at most {TOPICS_LIMIT} topics with short names", "others")
                self._topics[channel.id] = channel.topic
            elif opcode == Opcode.METADATA:
                metadata = records.Metadata.read(stream)
                yield Metadata(metadata.name, metadata.metadata)
            elif opcode == Opcode.MESSAGE:
                message = records.Message.read(stream, len(body))
                yield Message(self._topics[message.channel_id], message.log_time, message.data)
        except KeyError:
            raise self._damaged(at, "a message of a channel that is there", "another") from None
        except (McapError, *_UNREADABLE):
            raise self._damaged(at, f"a record of type {opcode}", "one that cannot be read") from None

    def _unpacked(self, body: bytes, at: int) -> bytes:
        """The records of a chunk, which is not unpacked unless it is as large as it says."""
        import zstandard
        from mcap.data_stream import ReadDataStream
        from mcap.exceptions import McapError
        from mcap.records import Chunk

        try:
            chunk = Chunk.read(ReadDataStream(BytesIO(body)))
        except (McapError, *_UNREADABLE):
            raise self._damaged(at, "a chunk", "one that cannot be read") from None
        size = chunk.uncompressed_size
        if size > RECORD_LIMIT:
            raise self._damaged(at, f"a chunk of at most {RECORD_LIMIT} bytes", f"one of {size}")
        if chunk.compression == "":
            data = chunk.data
        elif chunk.compression == "zstd":
            try:
                said = zstandard.get_frame_parameters(chunk.data).content_size  # as much would be allocated
                if said not in (size, zstandard.CONTENTSIZE_UNKNOWN):
                    raise self._damaged(at, f"a chunk of {size} bytes", "another size")
                data = zstandard.ZstdDecompressor().decompress(chunk.data, max_output_size=size) if size else b""
            except zstandard.ZstdError as problem:
                raise self._damaged(at, "a chunk that can be unpacked", str(problem)) from None
        else:
            raise self._damaged(at, "a chunk compressed by zstd", f"{chunk.compression[:20]!r}")
        if len(data) != size or (chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc):
            raise self._damaged(at, "a chunk with the checksum it was written with", "another")
        return bytes(data)

    def _damaged(self, at: int, expected: str, received: str) -> RecordingError:
        subject = f"{self._path}: byte {at}"
        return RecordingError(subject, expected=expected, received=received, remedy="the recording is damaged")
