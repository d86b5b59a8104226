"""Reads one safetensors file, trusting nothing in it, in rows of float32, so that memory never depends on its size.

    [8 bytes]   little-endian length n of the header
    [n bytes]   JSON: {"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [begin, end]}, "__metadata__": {}}
    [the rest]  the tensors' bytes, little endian, row-major; the offsets count from here and cover it without a gap

The file is read, not mapped: a file that shrinks while it is read is then an error and no crash of the process.
"""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyt.errors import CheckpointError
from hyt.runtime.json_file import parse_json

HEADER_LIMIT = 100_000_000  # bytes; the limit of the safetensors library
ITEM_SIZES = {"F32": 4, "F16": 2, "BF16": 2}
_MAX_RANK = 8
_REMEDY = "copy or download the checkpoint again"


@dataclass(frozen=True)
class TensorEntry:
    """One tensor: its dtype as safetensors names it, its shape, and its bytes [begin, begin + size) of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    size: int


class SafetensorsFile:
    """An open safetensors file, for several threads at once; raises CheckpointError for whatever is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Without waiting: a pipe would keep a plain open for ever.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as problem:
            raise CheckpointError(str(path), expected="a readable file", received=problem.strerror or "") from None
        try:
            self.entries = self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> SafetensorsFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def read_rows(self, name: str, first: int, count: int) -> NDArray[np.float32]:
        """Rows [first, first + count) of the tensor seen as (shape[0], rest), float32 (count, rest)."""
        entry = self.entries[name]
        if entry.dtype not in ITEM_SIZES:
            raise self._bad(f"tensor {name!r}", f"dtype {', '.join(ITEM_SIZES)}", entry.dtype)
        columns = math.prod(entry.shape[1:])
        row_size = columns * ITEM_SIZES[entry.dtype]
        data = self._read(entry.begin + first * row_size, count * row_size, f"tensor {name!r}")
        return _to_float32(data, entry.dtype).reshape(count, columns)

    def _read(self, begin: int, size: int, what: str) -> bytearray:
        data = bytearray(size)
        view, done = memoryview(data), 0
        while done < size:
            got = os.preadv(self._descriptor, [view[done:]], begin + done)
            if got == 0:
                raise self._bad(what, f"{size} bytes at {begin}", f"the file's end after {done}")
            done += got
        return data

    def _read_header(self) -> dict[str, TensorEntry]:
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise self._bad("file", "a regular file", "something else")
        total = status.st_size
        if total < 8:
            raise self._bad("length", "at least 8 bytes", f"{total} bytes")
        length = int.from_bytes(self._read(0, 8, "header length"), "little")
        if length > min(HEADER_LIMIT, total - 8):
            raise self._bad("header length", f"at most {min(HEADER_LIMIT, total - 8)} bytes", f"{length}")
        header = parse_json(bytes(self._read(8, length, "header")), f"{self.path}: header", CheckpointError)
        if not isinstance(header, dict):
            raise self._bad("header", "a JSON object", type(header).__name__)
        header.pop("__metadata__", None)
        data_begin, data_size = 8 + length, total - 8 - length
        entries = {name: self._entry(name, value, data_begin) for name, value in header.items()}
        position = data_begin
        for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].size)):
            if entry.begin != position:
                raise self._bad(
                    f"tensor {_short(name)}",
                    f"its bytes to begin at {position - data_begin}",
                    f"{entry.begin - data_begin}",
                )
            position += entry.size
        if position != total:
            raise self._bad("data", f"{position - data_begin} bytes as the header says", f"{data_size} bytes")
        return entries

    def _entry(self, name: str, value: Any, data_begin: int) -> TensorEntry:
        what = f"tensor {_short(name)}"
        if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
            raise self._bad(what, "dtype, shape and data_offsets", "other fields")
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(dtype, str):
            raise self._bad(what, "a dtype", repr(dtype)[:40])
        if not _are_sizes(shape) or len(shape) > _MAX_RANK:
            raise self._bad(what, "a shape of whole numbers", repr(shape)[:80])
        if not _are_sizes(offsets) or len(offsets) != 2 or offsets[1] < offsets[0]:
            raise self._bad(what, "data_offsets [begin, end]", repr(offsets)[:80])
        size = offsets[1] - offsets[0]
        if dtype in ITEM_SIZES and math.prod(shape) * ITEM_SIZES[dtype] != size:
            raise self._bad(what, f"{math.prod(shape) * ITEM_SIZES[dtype]} bytes for {dtype} {shape}", f"{size} bytes")
        return TensorEntry(dtype, tuple(shape), data_begin + offsets[0], size)

    def _bad(self, what: str, expected: str, received: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: {what}", expected=expected, received=received, remedy=_REMEDY)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**48 for v in values)


def _short(name: str) -> str:
    return repr(name if len(name) <= 120 else name[:117] + "...")


def _to_float32(data: bytearray, dtype: str) -> NDArray[np.float32]:
    if dtype == "F32":
        return np.frombuffer(data, dtype=np.dtype("<f4")).astype(np.float32, copy=False)
    if dtype == "F16":
        return np.frombuffer(data, dtype=np.dtype("<f2")).astype(np.float32)
    # A bfloat16 is the upper half of a float32.
    bits: NDArray[np.uint32] = np.frombuffer(data, dtype=np.dtype("<u2")).astype(np.uint32) << np.uint32(16)
    return bits.view(np.float32)
