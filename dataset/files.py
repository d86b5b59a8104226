"""Where the parts of a LeRobotDataset v3 lie, and writing them so that a killed writer leaves no half file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from hyt.errors import DatasetError

VERSION = "v3.0"
INFO = "meta/info.json"
STATISTICS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
NOTHING = "meta/nothing.json"
"""Ours: names of the episodes that were tried and came to nothing, so that they are not tried again."""
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
STAGING = ".staging"
"""Episodes that are not yet part of the dataset."""

CHUNK_FILES = 1000
"""Files in a `chunk-NNN` folder."""


READ_ERRORS = (OSError, ValueError, KeyError, OverflowError, pa.ArrowException)
"""What reading a damaged parquet file can raise."""


def replace_file(path: Path, content: bytes) -> None:
    """Write a file; under its name lies the old content or the whole new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole."""
    replace_file(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file; raises DatasetError when it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise DatasetError(f"{path}", expected="a JSON file", received=str(problem)) from None
