"""A killed writer leaves nothing that a reader would take for whole, and goes on where it was."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_episodes import LAYOUT, episode, write

from hyt.dataset import CameraInfo, DatasetWriter, Layout, open_dataset
from hyt.dataset import writer as writer_module
from hyt.errors import DatasetError


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the writer runs after it."""


@pytest.mark.parametrize("number", range(12))
def test_packing_killed_at_any_step_is_refused_by_the_reader_and_repeated(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its `number`-th renaming, onto a dataset that is there; the result is that of an unbroken one."""
    for name in ("broken", "whole"):
        write(tmp_path / name, range(4), file_bytes=15_000)
        writer = DatasetWriter(tmp_path / name, LAYOUT, file_bytes=15_000)
        for index in range(4, 8):
            writer.stage(f"episode-{index:03d}", episode(index, 6)[0])
    DatasetWriter(tmp_path / "whole", LAYOUT, file_bytes=15_000).pack()

    real, done = os.replace, 0

    def replace(source: Path, target: Path) -> None:
        nonlocal done
        if done == number:
            raise Killed
        done += 1
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    try:
        DatasetWriter(tmp_path / "broken", LAYOUT, file_bytes=15_000).pack()
    except Killed:
        if number > 0:
            with pytest.raises(DatasetError, match="unfinished"):
                open_dataset(tmp_path / "broken")
    else:
        assert len(open_dataset(tmp_path / "broken").episodes) == 8
    monkeypatch.setattr(os, "replace", real)
    DatasetWriter(tmp_path / "broken", LAYOUT, file_bytes=15_000).pack()
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


def _stage_forever(folder: Path) -> None:
    writer = DatasetWriter(folder, LAYOUT)
    for number in range(100_000):
        writer.stage(f"episode-{number:06d}", episode(number, 30)[0])


def test_a_killed_process_leaves_whole_episodes_only(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_stage_forever, args=(tmp_path,))
    process.start()
    while len(list(tmp_path.glob(".staging/*.parquet"))) < 3:
        assert process.is_alive()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    DatasetWriter(tmp_path, LAYOUT).pack()
    dataset = open_dataset(tmp_path)
    assert len(dataset.episodes) >= 3
    for number, info in enumerate(dataset.episodes):
        assert info.name == f"episode-{number:06d}"
        np.testing.assert_array_equal(dataset.select([number])[29].state, episode(number, 30)[0].states[29])


def test_processes_stage_side_by_side_and_the_order_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "one", range(6))
    for number in reversed(range(6)):
        stage = DatasetWriter(tmp_path / "many", LAYOUT)
        length, thoughts = 4 + number * 13 % 37, number % 3 != 2
        stage.stage(f"episode-{number:03d}", episode(number, length, thoughts)[0])
    DatasetWriter(tmp_path / "many", LAYOUT).pack()
    assert content(tmp_path / "one") == content(tmp_path / "many")


def test_the_counters_of_lerobot_run_through_all_files(tmp_path: Path) -> None:
    write(tmp_path, range(8), file_bytes=30_000)
    rows = [row for path in sorted(tmp_path.glob("data/*/*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    episodes = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    for number, row in enumerate(episodes):
        own = rows[row["dataset_from_index"] : row["dataset_to_index"]]
        assert {r["episode_index"] for r in own} == {number}
        assert [r["frame_index"] for r in own] == list(range(row["length"]))
        np.testing.assert_allclose([r["timestamp"] for r in own], np.arange(row["length"]) / 16, rtol=1e-6)
        assert {r["task_index"] for r in own} == {number % 2}
        assert row["tasks"] == [f"task {number % 2}"]


def test_what_came_to_nothing_is_remembered(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path, LAYOUT)
    writer.stage("good", episode(0)[0])
    writer.stage_nothing("bad")
    writer.pack()
    assert DatasetWriter(tmp_path, LAYOUT).names() == {"good", "bad"}
    assert len(open_dataset(tmp_path).episodes) == 1


def test_nothing_at_all_is_no_dataset(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path, LAYOUT)
    writer.stage_nothing("bad")
    with pytest.raises(DatasetError, match="expected at least one episode; received none"):
        writer.pack()


def test_an_episode_of_another_shape_is_named(tmp_path: Path) -> None:
    whole, _ = episode(0)
    wrong = writer_module.Episode(
        task="t", instruction="i", images=whole.images, states=whole.states[:, :2], actions=whole.actions
    )
    with pytest.raises(DatasetError, match=r"feature observation.state; expected shape \(5, 3\); received \(5, 2\)"):
        DatasetWriter(tmp_path, LAYOUT).stage("wrong", wrong)


def test_another_layout_is_not_appended(tmp_path: Path) -> None:
    write(tmp_path, range(1))
    other = Layout(fps=16, cameras=(CameraInfo("front", 6, 6),), state=LAYOUT.state, action=LAYOUT.action)
    with pytest.raises(DatasetError, match="the same cameras, state and action"):
        DatasetWriter(tmp_path, other)
    assert json.loads((tmp_path / "meta/info.json").read_text())["total_episodes"] == 1


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    with pytest.raises(DatasetError, match="expected a new folder, an empty one or a dataset; received other files"):
        DatasetWriter(tmp_path, LAYOUT)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
