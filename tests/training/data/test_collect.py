"""Collected episodes are the expert's, repeatable, and on disk as they were taken."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyt.dataset import open_dataset
from hyt.errors import DatasetError, InputError
from hyt.simulation.metaworld import MetaWorldArm
from hyt.simulation.tasks import TASKS
from hyt.training.data.arm import UNITS, Recorder, episode_name
from hyt.training.data.collect import Disturbance, collect, demonstrate

TASK = "drawer-close-v3"


@pytest.fixture(scope="module")
def arm() -> Iterator[MetaWorldArm]:
    arm = MetaWorldArm(TASK)
    yield arm
    arm.close()


@pytest.mark.parametrize("disturbed", [0.0, 1.0])
def test_a_demonstration_is_the_same_for_the_same_seed(arm: MetaWorldArm, disturbed: float) -> None:
    first = demonstrate(arm, 21, Disturbance(episodes=disturbed))
    demonstrate(arm, 22, Disturbance(episodes=disturbed))
    second = demonstrate(arm, 21, Disturbance(episodes=disturbed))
    assert first is not None
    assert second is not None
    assert (first.images, first.thoughts, first.sub_instructions) == (
        second.images,
        second.thoughts,
        second.sub_instructions,
    )
    np.testing.assert_array_equal(first.states, second.states)
    np.testing.assert_array_equal(first.actions, second.actions)


def test_labels_are_the_experts_in_metres_even_where_the_arm_is_disturbed(arm: MetaWorldArm) -> None:
    """An undisturbed arm in the state of the first decision gets the same label from the expert."""
    episode = demonstrate(arm, 23, Disturbance(episodes=1.0, start=0))
    assert episode is not None
    arm.reset(23)
    np.testing.assert_allclose(episode.actions[0], arm.expert() * [0.05, 0.05, 0.05, 1.0], rtol=1e-6)
    assert (np.abs(episode.actions).max(axis=0) <= UNITS + 1e-6).all()


def test_the_instruction_is_a_phrasing_and_the_task_its_first(arm: MetaWorldArm) -> None:
    phrasings = {Recorder(TASKS[TASK], seed, "expert", 1.0).instruction for seed in range(20)}
    assert phrasings == set(TASKS[TASK].instructions)
    episode = demonstrate(arm, 0, Disturbance(episodes=0.0))
    assert episode is not None
    assert episode.task == TASKS[TASK].instructions[0]


def test_thoughts_can_be_left_out_of_a_part_of_the_episodes(arm: MetaWorldArm) -> None:
    thinks = [Recorder(TASKS[TASK], seed, "expert", 0.3).thinks for seed in range(200)]
    assert 40 < sum(thinks) < 80
    whole, without = demonstrate(arm, 3, Disturbance()), demonstrate(arm, 3, Disturbance(), thoughts=0.0)
    assert whole is not None
    assert without is not None
    assert whole.thoughts is not None
    assert (without.thoughts, without.sub_instructions) == (None, None)
    assert without.images == whole.images


def test_collecting_again_keeps_what_is_there_and_adds_the_rest(tmp_path: Path) -> None:
    reports: list[dict[str, Any]] = []
    collect(tmp_path, [TASK], 2, workers=1, report=reports.append)
    assert reports == [{"task": TASK, "episodes": 2, "decisions": len(open_dataset(tmp_path))}]
    first = (tmp_path / "data/chunk-000/file-000.parquet").read_bytes()
    collect(tmp_path, [TASK], 3, workers=1, report=reports.append)
    assert reports[1]["episodes"] == 1
    assert (tmp_path / "data/chunk-000/file-000.parquet").read_bytes() == first
    dataset = open_dataset(tmp_path)
    assert [e.name for e in dataset.episodes] == [episode_name(TASK, seed) for seed in range(3)]
    assert [e.seed for e in dataset.episodes] == [0, 1, 2]
    assert dataset[0].images["corner2"].shape == (128, 128, 3)
    collect(tmp_path, [TASK], 3, workers=1, report=reports.append)
    assert len(reports) == 2


def test_a_killed_collection_goes_on_where_it_was(tmp_path: Path) -> None:
    program = f"from hyt.training.cli import main; main(['collect', {str(tmp_path)!r}, '--tasks', {TASK!r}, "
    program += "'--episodes', '200', '--workers', '1'])"
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        while len(list(tmp_path.glob(".staging/*.parquet"))) < 2:
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    staged = len(list(tmp_path.glob(".staging/*.parquet")))
    reports: list[dict[str, Any]] = []
    collect(tmp_path, [TASK], staged + 1, workers=1, report=reports.append)
    assert sum(report["episodes"] for report in reports) == 1
    assert len(open_dataset(tmp_path).episodes) == staged + 1


def test_workers_make_the_same_dataset_as_one_process(tmp_path: Path) -> None:
    collect(tmp_path / "one", [TASK], 2, workers=1)
    collect(tmp_path / "two", [TASK], 2, workers=2)
    for name in ("data/chunk-000/file-000.parquet", "meta/stats.json", "meta/info.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_two_collections_do_not_write_to_one_folder(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(DatasetError, match="received one that is in use; wait for it"):
            collect(tmp_path, [TASK], 1, workers=1)
    finally:
        os.close(handle)


def test_an_unknown_task_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="task 'juggle'"):
        collect(tmp_path / "data", ["juggle"], 1)
    assert not (tmp_path / "data").exists()


def test_more_episodes_than_there_are_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="episodes; expected at most 10000 for each task; received 10001"):
        collect(tmp_path / "data", [TASK], 10_001)
