"""The metadata of a LeRobotDataset on disk: v3.0, and v2.1 in which each episode is a file; checked before use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from hyt.dataset.episode import EpisodeInfo
from hyt.dataset.features import CameraFeature, FeatureMap, read_layout
from hyt.dataset.files import DATA, INFO, READ_ERRORS, STAGING, STATISTICS, TASKS, VIDEO, read_json
from hyt.dataset.layout import Layout
from hyt.errors import DatasetError

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class VideoPlace:
    """Where an episode begins in a video: the file, and the time in seconds of its first frame."""

    path: Path
    start: float


@dataclass(frozen=True)
class Metadata:
    """All that is known of a dataset without its data files."""

    root: Path
    layout: Layout
    cameras: tuple[CameraFeature, ...]
    names: FeatureMap
    tasks: Mapping[int, str]
    episodes: tuple[EpisodeInfo, ...]
    files: tuple[Path, ...]
    file_of: Integers
    """(E,) index into `files` of each episode."""
    row_of: Integers
    """(E,) row in its file at which each episode begins."""
    videos: Mapping[str, tuple[VideoPlace, ...]]
    """For each camera that is a video: the place of each episode."""
    statistics: Mapping[str, Any]
    """The content of `meta/stats.json`, or nothing."""


def read_metadata(root: Path, names: FeatureMap) -> Metadata:
    """Read the metadata below `root`; raises DatasetError naming what is missing or wrong."""
    if (root / STAGING).is_dir() and not (root / INFO).exists():
        raise DatasetError(
            f"{root}", expected="a finished dataset", received="an unfinished one", remedy="run its collection again"
        )
    if not (root / INFO).exists():
        raise DatasetError(f"{root}", expected="a LeRobotDataset", received=f"no {INFO}", remedy="name its folder")
    info = read_json(root / INFO)
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if not isinstance(version, str) or not version.startswith(("v3.", "v2.1")):
        raise DatasetError(
            f"{root / INFO}, codebase_version",
            expected="v3.0 (or v2.1)",
            received=f"{version!r}",
            remedy="convert it with LeRobot",
        )
    layout, cameras = read_layout(info, names, f"{root / INFO}")
    statistics = read_json(root / STATISTICS) if (root / STATISTICS).exists() else {}
    if not isinstance(statistics, dict):
        raise DatasetError(f"{root / STATISTICS}", expected="an object", received=type(statistics).__name__)
    old = version.startswith("v2.1")
    rows = _jsonl(root / "meta/episodes.jsonl") if old else _episode_rows(root)
    tasks = _tasks_v21(root) if old else _tasks(root)
    if not rows or len(rows) != info.get("total_episodes"):
        raise DatasetError(
            f"{root}",
            expected=f"{info.get('total_episodes')} episodes, as {INFO} says, and at least one",
            received=f"{len(rows)}",
        )
    try:
        episodes = tuple(_episode(row, number) for number, row in enumerate(rows))
        place = _places_v21 if old else _places
        files, file_of, row_of = place(root, info, rows)
        videos = {
            camera.info.name: tuple(_video(root, info, row, camera.feature, old) for row in rows)
            for camera in cameras
            if camera.video
        }
    except (KeyError, TypeError, ValueError, IndexError) as problem:
        raise DatasetError(
            f"{root}, meta/episodes", expected="LeRobot's columns", received=f"{type(problem).__name__} {problem}"
        ) from None
    total = sum(episode.length for episode in episodes)
    if total != info.get("total_frames"):
        raise DatasetError(
            f"{root}", expected=f"{info.get('total_frames')} frames, as {INFO} says", received=f"episodes of {total}"
        )
    return Metadata(root, layout, cameras, names, tasks, episodes, files, file_of, row_of, videos, statistics)


def _episode_rows(root: Path) -> list[dict[str, Any]]:
    """Rows of meta/episodes in order of the episodes, without the statistics of each."""
    paths = sorted((root / "meta/episodes").glob("*/*.parquet"))
    if not paths:
        raise DatasetError(f"{root / 'meta/episodes'}", expected="a parquet file", received="none")
    rows: list[dict[str, Any]] = []
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                columns = [name for name in file.schema_arrow.names if not name.startswith("stats/")]
                rows += file.read(columns=columns).to_pylist()
        except READ_ERRORS as problem:
            raise DatasetError(f"{path}", expected="a parquet file", received=str(problem)) from None
    if not all(type(row.get("episode_index")) is int for row in rows):
        raise DatasetError(f"{root}, meta/episodes", expected="a whole episode_index in each row", received="others")
    return sorted(rows, key=lambda row: int(row["episode_index"]))


def _episode(row: Mapping[str, Any], number: int) -> EpisodeInfo:
    index, length, tasks = row["episode_index"], row["length"], row["tasks"]
    if index != number or type(length) is not int or length < 1:
        raise ValueError(f"episode_index {index}, length {length} in row {number}")
    return EpisodeInfo(
        index=index,
        length=length,
        task=str(tasks[0]) if tasks else "",
        name=str(row.get("name") or ""),
        seed=-1 if row.get("seed") is None else int(row["seed"]),
        source=str(row.get("source") or ""),
    )


def _places(
    root: Path, info: Mapping[str, Any], rows: list[dict[str, Any]]
) -> tuple[tuple[Path, ...], Integers, Integers]:
    """Data files, and the file and first row of each episode."""
    template = str(info.get("data_path") or DATA)
    files: dict[Path, int] = {}
    filled: dict[int, int] = {}
    file_of, row_of = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for number, row in enumerate(rows):
        name = template.format(chunk_index=row["data/chunk_index"], file_index=row["data/file_index"])
        file = files.setdefault(_inside(root, name), len(files))
        file_of[number], row_of[number] = file, filled.get(file, 0)
        filled[file] = int(row_of[number]) + row["length"]
    return tuple(files), file_of, row_of


def _places_v21(
    root: Path, info: Mapping[str, Any], rows: list[dict[str, Any]]
) -> tuple[tuple[Path, ...], Integers, Integers]:
    """As `_places`, where each episode is a file."""
    template, chunk = str(info["data_path"]), int(info["chunks_size"])
    files = [_inside(root, template.format(episode_chunk=n // chunk, episode_index=n)) for n in range(len(rows))]
    return tuple(files), np.arange(len(rows)), np.zeros(len(rows), np.int64)


def _video(root: Path, info: Mapping[str, Any], row: Mapping[str, Any], feature: str, old: bool) -> VideoPlace:
    template = str(info.get("video_path") or VIDEO)
    if old:
        number = row["episode_index"]
        name = template.format(
            episode_chunk=number // int(info["chunks_size"]), episode_index=number, video_key=feature
        )
        return VideoPlace(_inside(root, name), 0.0)
    name = template.format(
        video_key=feature,
        chunk_index=row[f"videos/{feature}/chunk_index"],
        file_index=row[f"videos/{feature}/file_index"],
    )
    return VideoPlace(_inside(root, name), float(row[f"videos/{feature}/from_timestamp"]))


def _inside(root: Path, name: str) -> Path:
    """A path below the dataset: metadata of others must not lead out of it."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name!r} lies outside of the dataset")
    return root / name


def _tasks(root: Path) -> dict[int, str]:
    """Text of each task by index."""
    path = root / TASKS
    try:
        rows = pq.read_table(path).to_pylist()
        text = next((name for name in ("task", "__index_level_0__") if rows and name in rows[0]), "task")
        return {int(row["task_index"]): str(row[text]) for row in rows}
    except (*READ_ERRORS, TypeError) as problem:
        raise DatasetError(
            f"{path}",
            expected="a parquet file with task_index and task",
            received=f"{type(problem).__name__} {problem}",
        ) from None


def _tasks_v21(root: Path) -> dict[int, str]:
    rows = _jsonl(root / "meta/tasks.jsonl")
    if not all(type(row.get("task_index")) is int and "task" in row for row in rows):
        raise DatasetError(f"{root}, meta/tasks.jsonl", expected="task_index and task in each line", received="others")
    return {row["task_index"]: str(row["task"]) for row in rows}


def _jsonl(path: Path) -> list[dict[str, Any]]:
    """Objects of a file with one in each line."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as problem:
        raise DatasetError(f"{path}", expected="one JSON object a line", received=str(problem)) from None
    if not all(isinstance(row, dict) for row in rows):
        raise DatasetError(f"{path}", expected="one JSON object a line", received="others")
    return rows
