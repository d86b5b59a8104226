"""Writing a dataset: any number of processes stage episodes, then one packs them into the files of LeRobot's layout.

    writer = DatasetWriter(folder, layout)
    writer.stage("drawer-open-000017", episode)     # a file of its own, complete or not there; from any process
    writer.pack()                                   # data files, metadata, statistics; last of all meta/info.json

A dataset is one only when it has `meta/info.json`, which is written last. A killed `stage` loses its episode, a killed
`pack` nothing: `pack` again. Packing onto a finished dataset appends to it; until that is done it has no info.json.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hyt.dataset.columns import vectors
from hyt.dataset.episode import Episode
from hyt.dataset.files import (
    CHUNK_FILES,
    DATA,
    EPISODES,
    INFO,
    NOTHING,
    READ_ERRORS,
    STAGING,
    STATISTICS,
    TASKS,
    VERSION,
    read_json,
    write_json,
)
from hyt.dataset.layout import (
    ACTION,
    IMAGES,
    STATE,
    Layout,
    arrow_schema,
    feature_table,
)
from hyt.dataset.statistics import FeatureStatistics, from_json, measure, measure_images, pool
from hyt.dataset.tables import episode_table, storage_options, write_episodes, write_tasks
from hyt.errors import DatasetError

GROUP_ROWS = 32
"""Rows of a row group, the unit that is read from disk: a few hundred kilobytes with small images."""


class DatasetWriter:
    """Writes or extends the dataset in `path`; files hold at most about `file_bytes`.

    Raises DatasetError when another layout, or something that is no dataset, lies there.
    """

    def __init__(self, path: Path, layout: Layout, *, file_bytes: int = 100_000_000) -> None:
        self.path = path
        self.layout = layout
        self.file_bytes = file_bytes
        self._staging = path / STAGING
        self._info = self._read_info()
        if self._info is None and not self._staging.exists() and path.is_dir() and any(path.iterdir()):
            raise DatasetError(
                f"{path}",
                expected="a new folder, an empty one or a dataset",
                received="other files",
                remedy="write to another folder",
            )
        if self._info is not None and self._info.get("features") != feature_table(layout):
            raise DatasetError(
                f"{path}",
                expected="a dataset of the same cameras, state and action",
                received="another layout",
                remedy="write to another folder",
            )

    def names(self) -> set[str]:
        """Names of all episodes that are packed, staged, or came to nothing: what need not be made again."""
        packed = {row["name"] for row in self._rows()}
        staged = {path.stem for path in self._staging.glob("*.*")}
        return packed | staged | set(self._nothing())

    def stage(self, name: str, episode: Episode) -> None:
        """Write one episode beside the dataset, under a name that is its own among all."""
        self._staging.mkdir(parents=True, exist_ok=True)
        schema = arrow_schema(self.layout)
        table = episode_table(episode, self.layout, schema)
        statistics = {
            STATE: measure([episode.states], len(episode)),
            ACTION: measure([episode.actions], len(episode)),
        }
        for camera in self.layout.cameras:
            statistics[IMAGES + camera.name] = measure_images(episode.images[camera.name], camera, name)
        note = {
            "task": episode.task,
            "seed": episode.seed,
            "source": episode.source,
            "statistics": {feature: values.to_json() for feature, values in statistics.items()},
        }
        table = table.replace_schema_metadata({**(schema.metadata or {}), b"hyt": json.dumps(note).encode()})
        temporary = self._staging / f"{name}.part"
        pq.write_table(table, temporary, **storage_options(schema))
        os.replace(temporary, self._staging / f"{name}.parquet")

    def stage_nothing(self, name: str) -> None:
        """Note that this episode was tried and came to nothing."""
        self._staging.mkdir(parents=True, exist_ok=True)
        (self._staging / f"{name}.nothing").touch()

    def pack(self) -> None:
        """Make all staged episodes part of the dataset, in the order of their names."""
        for leftover in self._staging.glob("*.part"):
            leftover.unlink()
        rows = self._rows()
        known = {row["name"] for row in rows}
        staged = [path for path in sorted(self._staging.glob("*.parquet")) if path.stem not in known]
        nothing = self._nothing() + sorted(path.stem for path in self._staging.glob("*.nothing"))
        if rows and not self._staging.exists():
            return
        if not staged and not rows:
            raise DatasetError(f"{self.path}", expected="at least one episode", received="none")
        if (self.path / INFO).exists():
            os.replace(self.path / INFO, self._staging / "info.json")
        self._remove_leftovers(rows)
        tasks = self._tasks(rows, staged)
        rows = rows + list(self._pack_data(rows, staged, tasks))
        write_json(self.path / NOTHING, sorted(set(nothing)))
        write_tasks(self.path / TASKS, tasks)
        write_episodes(self.path, rows)
        write_json(self.path / STATISTICS, {k: v.to_json() for k, v in self._statistics(rows).items()})
        write_json(self.path / INFO, self._describe(rows, tasks))
        shutil.rmtree(self._staging, ignore_errors=True)

    def _read_info(self) -> dict[str, Any] | None:
        """The dataset's own description: in place, or set aside by a `pack` that was killed."""
        for path in (self.path / INFO, self._staging / "info.json"):
            if path.exists():
                info: dict[str, Any] = read_json(path)
                return info
        return None

    def _rows(self) -> list[dict[str, Any]]:
        """Metadata of the packed episodes; rows of a `pack` that was killed are not counted."""
        if self._info is None:
            return []
        file = self.path / EPISODES.format(chunk_index=0, file_index=0)
        try:
            rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
        except READ_ERRORS as problem:
            raise DatasetError(f"{file}", expected="a parquet file", received=str(problem)) from None
        if rows and "name" not in rows[0]:
            raise DatasetError(
                f"{self.path}", expected="a dataset that HyT wrote", received="another", remedy="import it first"
            )
        return rows[: self._info["total_episodes"]]

    def _nothing(self) -> list[str]:
        path = self.path / NOTHING
        return list(read_json(path)) if path.exists() else []

    def _remove_leftovers(self, rows: list[dict[str, Any]]) -> None:
        """Remove data files that a killed `pack` left: LeRobot reads every file of the folder."""
        used = {self.path / _data_path(row) for row in rows}
        for path in (self.path / "data").glob("*/*"):
            if path not in used:
                path.unlink()

    def _tasks(self, rows: list[dict[str, Any]], staged: list[Path]) -> list[str]:
        """Texts of all tasks by index; the new ones follow the old ones."""
        texts = [text for row in rows for text in row["tasks"]]
        texts += [str(_note(path)["task"]) for path in staged]
        return list(dict.fromkeys(texts))

    def _pack_data(self, rows: list[dict[str, Any]], staged: list[Path], tasks: list[str]) -> Iterator[dict[str, Any]]:
        """Write data files from the staged episodes; yields their metadata."""
        number = 1 + max((row["data/chunk_index"] * CHUNK_FILES + row["data/file_index"] for row in rows), default=-1)
        start, episode = sum(row["length"] for row in rows), len(rows)
        schema = arrow_schema(self.layout)
        for part in _parts(staged, self.file_bytes):
            place = {"data/chunk_index": number // CHUNK_FILES, "data/file_index": number % CHUNK_FILES}
            temporary = self._staging / "data.part"
            with pq.ParquetWriter(temporary, schema, **storage_options(schema)) as file:
                for path in part:
                    note = _note(path)
                    table = pq.read_table(path)
                    length = len(table)
                    counters = {
                        "episode_index": np.full(length, episode),
                        "index": np.arange(start, start + length),
                        "task_index": np.full(length, tasks.index(note["task"])),
                    }
                    for column, values in counters.items():
                        table = table.set_column(schema.get_field_index(column), schema.field(column), pa.array(values))
                    file.write_table(table.cast(schema), row_group_size=GROUP_ROWS)
                    yield {
                        "episode_index": episode,
                        "tasks": [note["task"]],
                        "length": length,
                        "dataset_from_index": start,
                        "dataset_to_index": start + length,
                        **place,
                        "name": path.stem,
                        "seed": note["seed"],
                        "source": note["source"],
                        **_flat(note["statistics"]),
                    }
                    start, episode = start + length, episode + 1
            final = self.path / DATA.format(chunk_index=number // CHUNK_FILES, file_index=number % CHUNK_FILES)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, final)
            number += 1

    def _statistics(self, rows: list[dict[str, Any]]) -> dict[str, FeatureStatistics]:
        """Statistics of the whole dataset: of vectors from all rows, of images from the episodes' samples."""
        files = sorted({self.path / _data_path(row) for row in rows})
        frames = sum(row["length"] for row in rows)
        result = {name: measure(_column(files, name), frames) for name in (STATE, ACTION)}
        for camera in self.layout.cameras:
            feature = IMAGES + camera.name
            prefix = f"stats/{feature}/"
            parts = [
                from_json({k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix)}, feature)
                for row in rows
            ]
            result[feature] = pool([part for part in parts if part is not None])
        return result

    def _describe(self, rows: list[dict[str, Any]], tasks: list[str]) -> dict[str, Any]:
        """The content of `meta/info.json`."""
        return {
            "codebase_version": VERSION,
            "robot_type": self.layout.robot,
            "total_episodes": len(rows),
            "total_frames": sum(row["length"] for row in rows),
            "total_tasks": len(tasks),
            "chunks_size": CHUNK_FILES,
            "data_files_size_in_mb": max(self.file_bytes // 1_000_000, 1),
            "video_files_size_in_mb": 500,
            "fps": int(self.layout.fps) if float(self.layout.fps).is_integer() else self.layout.fps,
            "splits": {"train": f"0:{len(rows)}"},
            "data_path": DATA,
            "video_path": None,
            "features": feature_table(self.layout),
        }


def _note(path: Path) -> dict[str, Any]:
    """What `stage` noted beside the rows."""
    note: dict[str, Any] = json.loads(pq.read_schema(path).metadata[b"hyt"])
    return note


def _flat(statistics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Statistics as columns of the episodes' metadata: `stats/FEATURE/NAME`."""
    return {f"stats/{f}/{name}": value for f, values in statistics.items() for name, value in values.items()}


def _data_path(row: dict[str, Any]) -> str:
    return DATA.format(chunk_index=row["data/chunk_index"], file_index=row["data/file_index"])


def _parts(staged: list[Path], file_bytes: int) -> Iterator[list[Path]]:
    """Groups of staged episodes that make a file each."""
    part: list[Path] = []
    size = 0
    for path in staged:
        own = path.stat().st_size
        if part and size + own > file_bytes:
            yield part
            part, size = [], 0
        part.append(path)
        size += own
    if part:
        yield part


def _column(files: list[Path], name: str) -> Iterator[npt.NDArray[np.float32]]:
    """One vector column of all files, a file at a time."""
    for path in files:
        yield vectors(pq.read_table(path, columns=[name]).column(name).combine_chunks(), f"{path}", name)
