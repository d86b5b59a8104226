"""What was written is what is read, in any order, and in parts."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from small_episodes import LAYOUT, episode, length_of, write

from hyt.dataset import Dataset, DatasetWriter, open_dataset
from hyt.dataset.blocks import BlockReader
from hyt.errors import DatasetError, InputError

EPISODES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write(folder, range(EPISODES), file_bytes=120_000)
    return folder


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset(folder, chunk_steps=3)


def test_every_decision_comes_back_as_it_was(dataset: Dataset) -> None:
    index = 0
    for number in range(EPISODES):
        thoughts = number % 3 != 2
        length = length_of(number)
        written, pictures = episode(number, length, thoughts)
        for frame in range(length):
            decision = dataset[index]
            assert (decision.episode, decision.index) == (number, frame)
            assert (decision.task, decision.instruction) == (written.task, written.instruction)
            np.testing.assert_array_equal(decision.state, written.states[frame])
            following = [min(frame + step, length - 1) for step in range(3)]
            np.testing.assert_array_equal(decision.action, written.actions[following])
            for camera in LAYOUT.cameras:
                np.testing.assert_array_equal(decision.images[camera.name], pictures[camera.name][frame])
            assert decision.thought == (f"thought {number} {frame}" if thoughts else None)
            assert decision.sub_instruction == (f"part {number} {frame}" if thoughts else None)
            index += 1
    assert index == len(dataset) == dataset.info.frames


def test_the_data_lies_in_several_files_of_bounded_size(folder: Path) -> None:
    files = sorted((folder / "data/chunk-000").iterdir())
    assert [file.name for file in files] == [f"file-{i:03d}.parquet" for i in range(len(files))]
    assert len(files) > 3
    assert max(file.stat().st_size for file in files) < 150_000


def test_the_information_names_cameras_dimensions_and_units(dataset: Dataset) -> None:
    info = dataset.info
    assert (info.fps, info.episodes, info.chunk_steps, info.robot) == (16, EPISODES, 3, "toy")
    assert info.cameras == LAYOUT.cameras
    assert (info.state, info.action) == (LAYOUT.state, LAYOUT.action)
    assert [e.seed for e in dataset.episodes] == list(range(EPISODES))
    assert {e.source for e in dataset.episodes} == {"expert"}


def test_a_split_holds_out_every_so_many_th_episode(dataset: Dataset) -> None:
    fit, held = dataset.split(7)
    assert [e.index for e in held.episodes] == [6, 13, 20, 27]
    assert sorted(e.index for part in (fit, held) for e in part.episodes) == list(range(EPISODES))
    assert len(fit) + len(held) == len(dataset)
    assert {held[i].episode for i in range(len(held))} == {6, 13, 20, 27}
    assert len(dataset.split(100)[1]) == 0


def test_a_selection_is_read_by_its_own_indices(dataset: Dataset) -> None:
    part = dataset.select([4, 2])
    assert [part[0].episode, part[length_of(4)].episode, part[-1].episode] == [4, 2, 2]
    with pytest.raises(IndexError):
        part[len(part)]
    assert len(list(part)) == len(part)


def test_another_process_gets_a_copy_that_reads_the_same(dataset: Dataset) -> None:
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[40].images["front"], dataset[40].images["front"])


def test_memory_stays_within_its_bound(folder: Path) -> None:
    """A reader that may keep 100 kB reads 300 kB and more in any order, and never holds more than that and a block."""
    dataset = open_dataset(folder, cache_bytes=100_000)
    reader: BlockReader = dataset._source._blocks
    most = 0
    for index in np.random.default_rng(0).permutation(len(dataset)):
        dataset[int(index)]
        most = max(most, sum(block.size for block in reader._blocks.values()))
    assert reader._held <= 100_000
    assert 50_000 < most <= 100_000


def test_a_chunk_needs_at_least_one_step(folder: Path) -> None:
    with pytest.raises(InputError, match="chunk_steps; expected at least 1; received 0"):
        open_dataset(folder, chunk_steps=0)


def test_packing_again_appends(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    before = open_dataset(tmp_path)
    writer = DatasetWriter(tmp_path, LAYOUT)
    writer.stage("episode-003", episode(3, 6)[0])
    assert writer.names() == {f"episode-{i:03d}" for i in range(4)}
    writer.pack()
    after = open_dataset(tmp_path)
    assert [e.name for e in after.episodes] == [f"episode-{i:03d}" for i in range(4)]
    np.testing.assert_array_equal(after[len(before)].state, episode(3, 6)[0].states[0])
    np.testing.assert_array_equal(after[1].images["wrist"], before[1].images["wrist"])
    assert after.statistics["action"].count == len(after)


def test_an_unfinished_dataset_says_so(tmp_path: Path) -> None:
    DatasetWriter(tmp_path, LAYOUT).stage("one", episode(0)[0])
    with pytest.raises(DatasetError, match="received an unfinished one; run its collection again"):
        open_dataset(tmp_path)
