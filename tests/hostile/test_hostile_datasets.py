"""A damaged dataset is one line that names the file or the feature, whatever is wrong with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "dataset"))
from datasets_of_others import write_v3

from hyt.dataset import open_dataset
from hyt.errors import DatasetError, HytError

DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def info(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Damage of meta/info.json."""

    def damage(root: Path) -> None:
        path = root / "meta/info.json"
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    return damage


def table(name: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    """Damage of a parquet file."""

    def damage(root: Path) -> None:
        pq.write_table(change(pq.read_table(root / name)), root / name)

    return damage


def column(name: str, values: Callable[[list[Any]], Any]) -> Callable[[pa.Table], pa.Table]:
    def change(rows: pa.Table) -> pa.Table:
        return rows.set_column(rows.column_names.index(name), name, pa.array(values(rows.column(name).to_pylist())))

    return change


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (lambda root: [p.unlink() for p in root.rglob("*") if p.is_file()], "received no meta/info.json"),
    "no JSON": (lambda root: (root / "meta/info.json").write_text("{"), "info.json; expected a JSON file"),
    "a list": (lambda root: (root / "meta/info.json").write_text("[]"), "codebase_version; expected v3.0"),
    "deep JSON": (lambda root: (root / "meta/info.json").write_text("[" * 100_000), "expected a JSON file"),
    "version 2.0": (info(lambda i: i.update(codebase_version="v2.0")), "received 'v2.0'; convert it with LeRobot"),
    "no features": (info(lambda i: i.pop("features")), "features; expected an object"),
    "a feature that is none": (info(lambda i: i["features"].update(action=3)), "features; expected an object"),
    "no frames a second": (info(lambda i: i.update(fps=0)), "fps; expected a positive number"),
    "no state": (info(lambda i: i["features"].pop("observation.state")), "received no such; name one by --state"),
    "a state of text": (
        info(lambda i: i["features"]["observation.state"].update(dtype="string")),
        "feature observation.state; expected a vector of numbers; received dtype string",
    ),
    "an action of two axes": (
        info(lambda i: i["features"]["action"].update(shape=[2, 2])),
        "feature action; expected a vector of numbers; received dtype float32, shape",
    ),
    "another width": (
        info(lambda i: i["features"]["observation.images.top"].update(shape=[48, 65, 3])),
        "camera top; expected 48 x 65 pixels, as meta/info.json says; received 48 x 64",
    ),
    "a flat image": (
        info(lambda i: i["features"]["observation.images.top"].update(shape=[3, "x"])),
        "feature observation.images.top; expected a shape of height, width and 3",
    ),
    "no camera": (info(lambda i: i["features"].pop("observation.images.top")), "expected at least one camera"),
    "more episodes": (info(lambda i: i.update(total_episodes=4)), "expected 4 episodes, as meta/info.json says"),
    "more frames": (info(lambda i: i.update(total_frames=22)), "expected 22 frames, as meta/info.json says"),
    "a way out": (info(lambda i: i.update(data_path="../x-{chunk_index}-{file_index}")), "lies outside of the dataset"),
    "an attribute": (info(lambda i: i.update(data_path="{chunk_index.real}{secret}")), "expected LeRobot's columns"),
    "no episodes": (lambda root: (root / EPISODES).unlink(), "episodes; expected a parquet file; received none"),
    "broken episodes": (lambda root: (root / EPISODES).write_bytes(b"PAR1"), "expected a parquet file"),
    "no lengths": (table(EPISODES, lambda t: t.drop_columns(["length"])), "expected LeRobot's columns"),
    "a length of 0": (table(EPISODES, column("length", lambda v: [0, *v[1:]])), "episode_index 0, length 0"),
    "an episode twice": (table(EPISODES, column("episode_index", lambda v: [0, 0, 2])), "episode_index 0"),
    "no tasks": (
        lambda root: (root / "meta/tasks.parquet").unlink(),
        "tasks.parquet; expected a parquet file with task_index",
    ),
    "a file is missing": (lambda root: (root / DATA).unlink(), "file-000.parquet; expected a parquet file"),
    "half a file": (
        lambda root: (root / DATA).write_bytes((root / DATA).read_bytes()[:-2000]),
        "file-000.parquet; expected a parquet file",
    ),
    "a row is missing": (table(DATA, lambda t: t.slice(1)), "expected 12 rows, as meta/episodes says; received 11"),
    "no action": (table(DATA, lambda t: t.drop_columns(["action"])), "feature action; expected a column"),
    "ragged actions": (
        table(DATA, column("action", lambda v: [[1.0], [1.0, 2.0, 3.0], *v[2:]])),
        "feature action; expected equally many numbers in each row",
    ),
    "longer actions": (table(DATA, column("action", lambda v: [[1.0, 2, 3]] * len(v))), "expected 2 numbers a row"),
    "missing actions": (table(DATA, column("action", lambda v: [None, *v[1:]])), "feature action; expected equally"),
    "NaN": (table(DATA, column("action", lambda v: [[float("nan"), 1]] * len(v))), "action; expected finite numbers"),
    "texts for numbers": (table(DATA, column("action", lambda v: ["x"] * len(v))), "feature action; expected equally"),
    "swapped rows": (table(DATA, lambda t: t.take([1, 0, *range(2, 12)])), "expected frame 0 of episode 0, as meta"),
    "an unknown task": (table(DATA, column("task_index", lambda v: [7] * len(v))), "expected one of the 2 tasks"),
    "images by path": (
        table(DATA, column("observation.images.top", lambda v: [{"bytes": None, "path": "/etc/passwd"}] * len(v))),
        "feature observation.images.top; expected images inside of the file",
    ),
    "broken images": (
        table(DATA, column("observation.images.top", lambda v: [{"bytes": b"x", "path": ""}] * len(v))),
        "camera top; expected an image that Pillow reads",
    ),
    "other statistics": (
        lambda root: (root / "meta/stats.json").write_text("[]"),
        "stats.json; expected an object",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    damage, words = DAMAGES[name]
    write_v3(tmp_path)
    damage(tmp_path)
    with pytest.raises(DatasetError) as error:
        open_dataset(tmp_path)[0]
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 9


def test_no_flipped_byte_is_another_exception(tmp_path: Path) -> None:
    """Bytes of the metadata and the data changed at random: read as something, or refused by an error of ours."""
    write_v3(tmp_path)
    random = np.random.default_rng(0)
    for path in [tmp_path / DATA, tmp_path / EPISODES, tmp_path / "meta/info.json", tmp_path / "meta/tasks.parquet"]:
        whole = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
            path.write_bytes(damaged)
            with suppress(HytError):
                dataset = open_dataset(tmp_path)
                for index in range(0, len(dataset), 4):
                    dataset[index]
        path.write_bytes(whole)
