"""The file of weights that the graphs of a bundle share: what two of them need lies in it once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from numpy.typing import NDArray

_ALIGNMENT = 4096  # a page, so that a reader can map a tensor by itself


@dataclass(frozen=True)
class Part:
    """Where a tensor lies: file name beside the graph, offset and length in bytes."""

    file: str
    offset: int
    length: int


class WeightFile:
    """Appends tensors to a file; one that was added before under the same name is not written again."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._file: BinaryIO = path.open("wb")
        self._parts: dict[str, Part] = {}

    def __enter__(self) -> WeightFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def find(self, name: str) -> Part | None:
        """Where the tensor `name` lies, None when it was not added yet."""
        return self._parts.get(name)

    def add(self, name: str, blocks: Iterable[NDArray[Any]]) -> Part:
        """Append a tensor, block by block."""
        self._file.write(b"\0" * (-self._file.tell() % _ALIGNMENT))
        offset = self._file.tell()
        for block in blocks:
            self._file.write(block.tobytes())
        part = Part(self._name, offset, self._file.tell() - offset)
        self._parts[name] = part
        return part
