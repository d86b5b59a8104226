"""The tables of a dataset as parquet: the rows of an episode, the tasks, the episodes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hyt.dataset.episode import Episode
from hyt.dataset.files import EPISODES
from hyt.dataset.layout import ACTION, IMAGES, INSTRUCTION, STATE, SUB_INSTRUCTION, THOUGHT, Layout
from hyt.errors import DatasetError


def episode_table(episode: Episode, layout: Layout, schema: pa.Schema) -> pa.Table:
    """The rows of an episode; counters that only packing knows are zero."""
    length = len(episode)
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        STATE: (episode.states.shape, (length, len(layout.state))),
        ACTION: (episode.actions.shape, (length, len(layout.action))),
    }
    shapes |= {IMAGES + c.name: ((len(episode.images[c.name]),), (length,)) for c in layout.cameras}
    for name, texts in ((THOUGHT, episode.thoughts), (SUB_INSTRUCTION, episode.sub_instructions)):
        shapes[name] = ((length if texts is None else len(texts),), (length,))
    for name, (received, expected) in shapes.items():
        if received != expected or not length:
            raise DatasetError(f"episode, feature {name}", expected=f"shape {expected}", received=f"{received}")
    if not (np.isfinite(episode.states).all() and np.isfinite(episode.actions).all()):
        raise DatasetError("episode", expected="finite states and actions", received="infinity or NaN")
    columns: dict[str, Any] = {
        STATE: _fixed(episode.states, schema.field(STATE).type),
        ACTION: _fixed(episode.actions, schema.field(ACTION).type),
        INSTRUCTION: pa.array([episode.instruction] * length),
        THOUGHT: pa.array([""] * length if episode.thoughts is None else [str(t) for t in episode.thoughts]),
        SUB_INSTRUCTION: pa.array(
            [""] * length if episode.sub_instructions is None else [str(t) for t in episode.sub_instructions]
        ),
        "timestamp": pa.array((np.arange(length) / layout.fps).astype(np.float32)),
        "frame_index": pa.array(np.arange(length)),
    }
    columns |= {name: pa.array(np.zeros(length, np.int64)) for name in ("episode_index", "index", "task_index")}
    for camera in layout.cameras:
        name = IMAGES + camera.name
        images = [{"bytes": data, "path": f"frame-{i:06d}.png"} for i, data in enumerate(episode.images[camera.name])]
        columns[name] = pa.array(images, schema.field(name).type)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _fixed(values: npt.NDArray[np.float32], kind: pa.DataType) -> pa.Array:
    """Values (T, D) as a column of fixed-size lists, or of plain values when D is 1."""
    flat = pa.array(np.ascontiguousarray(values, np.float32).ravel())
    return flat if pa.types.is_floating(kind) else pa.FixedSizeListArray.from_arrays(flat, type=kind)


def storage_options(schema: pa.Schema) -> dict[str, Any]:
    """How columns are stored: texts by dictionary; images are compressed already."""
    images = [f"{field.name}.bytes" for field in schema if pa.types.is_struct(field.type)]
    leaves = [field.name for field in schema if not pa.types.is_struct(field.type)]
    return {
        "compression": {**dict.fromkeys(leaves, "snappy"), **dict.fromkeys(images, "none")},
        "use_dictionary": [field.name for field in schema if pa.types.is_string(field.type)],
        "write_statistics": [field.name for field in schema if pa.types.is_integer(field.type)],
    }


def write_tasks(path: Path, tasks: list[str]) -> None:
    """The table of tasks; LeRobot reads it with pandas and expects the texts as its index."""
    columns = [("task_index", "int64", "int64"), ("task", "unicode", "object")]
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, kind, numpy in columns
        ],
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    _write_table(path, table.replace_schema_metadata({"pandas": json.dumps(pandas)}))


def write_episodes(root: Path, rows: list[dict[str, Any]]) -> None:
    """The table of episodes, in one file."""
    place = {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
    _write_table(root / EPISODES.format(chunk_index=0, file_index=0), pa.Table.from_pylist([r | place for r in rows]))


def _write_table(path: Path, table: pa.Table) -> None:
    """Write a parquet file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    pq.write_table(table, temporary)
    os.replace(temporary, path)
