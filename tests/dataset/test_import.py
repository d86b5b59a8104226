"""Datasets of others are read as they are, by the names that are asked for, and can be rewritten."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from datasets_of_others import FPS, JOINTS, LENGTHS, action, picture, state, write_v3, write_v21

from hyt.dataset import Dataset, FeatureMap, open_dataset
from hyt.errors import MissingDependencyError
from hyt.training.cli import main

FRAMES = [(episode, frame) for episode, length in enumerate(LENGTHS) for frame in range(length)]


def check_content(dataset: Dataset, tolerance: float) -> None:
    """Every decision, in an order that jumps; videos differ from the pictures by their codec."""
    assert len(dataset) == len(FRAMES)
    for index in np.random.default_rng(0).permutation(len(FRAMES)):
        episode, frame = FRAMES[index]
        decision = dataset[int(index)]
        assert (decision.episode, decision.index) == (episode, frame)
        assert decision.task == decision.instruction == f"task {episode % 2}"
        assert decision.thought is decision.sub_instruction is None
        np.testing.assert_allclose(decision.state, state(episode, frame), rtol=1e-6)
        following = [action(episode, min(frame + step, LENGTHS[episode] - 1)) for step in range(2)]
        np.testing.assert_array_equal(decision.action, following[: len(decision.action)])
        difference = decision.images["top"].astype(float) - picture(episode, frame)
        assert np.abs(difference).mean() <= tolerance


@pytest.mark.parametrize("video", [False, True])
def test_a_dataset_of_lerobot_is_read_as_it_is(tmp_path: Path, video: bool) -> None:
    write_v3(tmp_path, video=video)
    dataset = open_dataset(tmp_path, chunk_steps=2)
    assert dataset.info.fps == FPS
    assert dataset.info.state.names == dataset.info.action.names == tuple(JOINTS)
    assert [camera.name for camera in dataset.info.cameras] == ["top"]  # depth is no colour
    check_content(dataset, tolerance=3.0 if video else 0.0)


def test_a_dataset_of_version_2_1_is_read_as_well(tmp_path: Path) -> None:
    write_v21(tmp_path)
    check_content(open_dataset(tmp_path, chunk_steps=2), tolerance=3.0)


@pytest.mark.parametrize("stats", [False, True])
def test_quantiles_that_older_datasets_do_not_have_are_measured(tmp_path: Path, stats: bool) -> None:
    write_v3(tmp_path, stats=stats)
    measured = open_dataset(tmp_path).statistics
    actions = np.array([action(*frame) for frame in FRAMES])
    np.testing.assert_allclose(measured["action"].q99, np.quantile(actions, 0.99, axis=0))
    np.testing.assert_allclose(measured["action"].max, actions.max(axis=0))
    assert measured["observation.state"].count == len(FRAMES)


def test_features_are_chosen_by_name(tmp_path: Path) -> None:
    write_v3(tmp_path)
    names = FeatureMap(state="observation.torque", cameras={"corner": "observation.images.top"})
    dataset = open_dataset(tmp_path, features=names)
    np.testing.assert_array_equal(dataset[3].state, [1, 2, 6])
    assert dataset.info.state.names == ("observation.torque_0", "observation.torque_1", "observation.torque_2")
    np.testing.assert_array_equal(dataset[3].images["corner"], picture(0, 3))


@pytest.mark.parametrize("video", [False, True])
def test_an_imported_dataset_holds_the_same_under_the_usual_names(tmp_path: Path, video: bool) -> None:
    write_v3(tmp_path / "theirs", video=video)
    assert main(["import", str(tmp_path / "theirs"), "-o", str(tmp_path / "ours")]) == 0
    dataset = open_dataset(tmp_path / "ours")
    check_content(dataset, tolerance=3.0 if video else 0.0)
    assert dataset.info.robot == "arm"
    assert dataset.statistics["observation.images.top"].mean.shape == (3, 1, 1)


def test_an_import_does_not_write_over_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_v3(tmp_path)
    assert main(["import", str(tmp_path), "-o", str(tmp_path)]) == 7
    assert capsys.readouterr().err.count("\n") == 1


def test_videos_without_their_decoder_name_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_v3(tmp_path, video=True)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"expected PyAV, .*; pip install 'hyt\[video\]'"):
        open_dataset(tmp_path)
