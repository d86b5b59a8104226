"""Data files read a row group at a time, with the last used groups kept in memory up to a bound."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hyt.dataset.columns import integers, vectors
from hyt.dataset.files import READ_ERRORS
from hyt.dataset.layout import TEXTS
from hyt.dataset.metadata import Metadata
from hyt.errors import DatasetError

OPEN_FILES = 16
"""At most so many data files are open at a time."""


@dataclass(frozen=True)
class Block:
    """The rows of one row group; images are encoded still."""

    first: int
    """Row of the file at which it begins."""
    states: npt.NDArray[np.float32]
    actions: npt.NDArray[np.float32]
    task_index: npt.NDArray[np.int64]
    episode_index: npt.NDArray[np.int64]
    frame_index: npt.NDArray[np.int64]
    images: dict[str, Any]
    """Arrow arrays of bytes by camera name, for cameras that are no videos."""
    texts: dict[str, Any]
    """Arrow arrays of strings by feature, for the text features that are there."""
    size: int
    """Bytes in memory."""

    def __len__(self) -> int:
        return len(self.task_index)


class BlockReader:
    """Random access to the rows of a dataset's files; keeps at most about `cache_bytes` of them in memory."""

    def __init__(self, metadata: Metadata, cache_bytes: int) -> None:
        self._metadata = metadata
        self._cache_bytes = cache_bytes
        self._starts = [_group_starts(metadata, number) for number in range(len(metadata.files))]
        self._forget()

    def _forget(self) -> None:
        self._open: OrderedDict[int, pq.ParquetFile] = OrderedDict()
        self._blocks: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._held = 0

    def __getstate__(self) -> dict[str, Any]:
        """A copy for another process opens its own files."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_open", "_blocks", "_held")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def block(self, file: int, row: int) -> Block:
        """The block that holds a row of a file."""
        group = bisect.bisect_right(self._starts[file], row) - 1
        block = self._blocks.get((file, group))
        if block is not None:
            self._blocks.move_to_end((file, group))
            return block
        block = self._read(file, group)
        self._blocks[file, group] = block
        self._held += block.size
        while self._held > self._cache_bytes and len(self._blocks) > 1:
            self._held -= self._blocks.popitem(last=False)[1].size
        return block

    def column(self, name: str, feature: str) -> Any:
        """Yields a vector feature of all rows as float32 (N, D), a row group at a time."""
        for number, path in enumerate(self._metadata.files):
            file = self._file(number)
            for group in range(file.num_row_groups):
                column = file.read_row_group(group, columns=[feature]).column(feature)
                yield vectors(column.combine_chunks(), f"{path}", name)

    def _file(self, number: int) -> pq.ParquetFile:
        file = self._open.get(number)
        if file is None:
            file = self._open[number] = pq.ParquetFile(self._metadata.files[number], pre_buffer=False)
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(number)
        return file

    def _read(self, number: int, group: int) -> Block:
        metadata, where = self._metadata, f"{self._metadata.files[number]}"
        names = metadata.names
        counters = ("task_index", "episode_index", "frame_index")
        images = {camera.info.name: camera.feature for camera in metadata.cameras if not camera.video}
        try:
            file = self._file(number)
            texts = [name for name in TEXTS if name in file.schema_arrow.names]
            wanted = [names.state, names.action, *counters, *images.values(), *texts]
            table = file.read_row_group(group, columns=wanted, use_threads=False).combine_chunks()
        except READ_ERRORS as problem:
            raise DatasetError(f"{where}, row group {group}", expected="readable rows", received=str(problem)) from None

        def column(name: str) -> Any:
            chunked = table.column(name)
            return chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()

        task, episode, frame = (integers(column(name), where, name) for name in counters)
        return Block(
            first=self._starts[number][group],
            states=_sized(vectors(column(names.state), where, names.state), len(metadata.layout.state), where, "state"),
            actions=_sized(
                vectors(column(names.action), where, names.action), len(metadata.layout.action), where, "action"
            ),
            task_index=task,
            episode_index=episode,
            frame_index=frame,
            images={name: _bytes(column(feature), where, feature) for name, feature in images.items()},
            texts={name: column(name) for name in texts},
            size=table.nbytes,
        )


def _group_starts(metadata: Metadata, number: int) -> list[int]:
    """First row of each row group of a file, whose columns and rows are checked against the metadata."""
    path = metadata.files[number]
    wanted = [metadata.names.state, metadata.names.action, "task_index", "episode_index", "frame_index"]
    wanted += [camera.feature for camera in metadata.cameras if not camera.video]
    try:
        with pq.ParquetFile(path) as file:
            rows = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            missing = [name for name in wanted if name not in file.schema_arrow.names]
    except READ_ERRORS as problem:
        raise DatasetError(f"{path}", expected="a parquet file", received=str(problem)) from None
    if missing:
        raise DatasetError(f"{path}, feature {missing[0]}", expected="a column", received="none")
    mine = metadata.file_of == number
    expected = sum(metadata.episodes[int(index)].length for index in np.flatnonzero(mine))
    if sum(rows) != expected:
        raise DatasetError(f"{path}", expected=f"{expected} rows, as meta/episodes says", received=f"{sum(rows)}")
    return [0, *np.cumsum(rows)[:-1].tolist()]


def _sized(values: npt.NDArray[np.float32], size: int, where: str, name: str) -> npt.NDArray[np.float32]:
    if values.shape[1] != size:
        raise DatasetError(f"{where}, {name}", expected=f"{size} numbers a row", received=f"{values.shape[1]}")
    return values


def _bytes(column: Any, where: str, feature: str) -> Any:
    """The bytes of an image column."""
    if not pa.types.is_struct(column.type) or column.type.get_field_index("bytes") < 0:
        raise DatasetError(f"{where}, feature {feature}", expected="images as bytes", received=f"{column.type}")
    data = column.field("bytes")
    if data.null_count:
        raise DatasetError(
            f"{where}, feature {feature}",
            expected="images inside of the file",
            received="only their paths",
            remedy="embed them with LeRobot",
        )
    return data
