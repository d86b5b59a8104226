"""Which observations calibrate and which judge: evenly over tasks and episodes, never of the same episode."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from checkpoints import AWKWARD, make_contract
from observed import write_observations

from hyt.dataset import open_dataset
from hyt.errors import DatasetError, InputError, MissingDependencyError
from hyt.export.calibration import Calibration, Sample, read_calibration

CONTRACT = make_contract()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_observations(tmp_path_factory.mktemp("observed") / "data", CONTRACT, episodes=10, length=6)


def episode_of(folder: Path, sample: Sample) -> int:
    for decision in open_dataset(folder):
        if np.array_equal(decision.state, sample.observation.state):
            return decision.episode
    raise AssertionError("a sample that is in no episode")


def test_both_halves_are_spread_evenly_and_share_no_episode(folder: Path) -> None:
    calibration = read_calibration(folder, CONTRACT, 8)
    halves = [calibration.fit, calibration.held_out]
    seen = [Counter(episode_of(folder, sample) for sample in half) for half in halves]
    assert not set(seen[0]) & set(seen[1])
    for half, episodes in zip(halves, seen, strict=True):
        assert Counter(sample.instruction for sample in half) == dict.fromkeys(CONTRACT.instructions, 4)
        assert max(episodes.values()) - min(episodes.values()) <= 1
    assert calibration.facts == {"observations": 8, "held_out": 8, "episodes": 10, "tasks": 2, "seed": 0}


def test_more_may_judge_than_calibrate_and_the_choice_of_neither_changes(folder: Path) -> None:
    few, both = read_calibration(folder, CONTRACT, 4, 8), read_calibration(folder, CONTRACT, 8)
    assert [len(few.fit), len(few.held_out)] == [4, 8]

    def states(samples: tuple[Sample, ...]) -> list[list[float]]:
        return [sample.observation.state.tolist() for sample in samples]

    assert states(few.fit) == states(both.fit)[:4]
    assert states(few.held_out) == states(both.held_out)


def test_the_choice_is_the_same_every_time(folder: Path) -> None:
    def states(calibration: Calibration) -> list[list[float]]:
        return [sample.observation.state.tolist() for sample in (*calibration.fit, *calibration.held_out)]

    assert states(read_calibration(folder, CONTRACT, 7)) == states(read_calibration(folder, CONTRACT, 7))


def test_no_frame_is_taken_twice_and_a_small_data_set_gives_what_it_has(folder: Path) -> None:
    calibration = read_calibration(folder, CONTRACT, 1000)
    samples = (*calibration.fit, *calibration.held_out)
    assert len(samples) == 60
    assert len({sample.observation.state.tobytes() for sample in samples}) == 60
    assert {sample.sub_instruction for sample in samples} == {"MOVE left"}


def test_a_data_set_of_one_episode_is_refused(tmp_path: Path) -> None:
    write_observations(tmp_path / "data", CONTRACT, episodes=1)
    with pytest.raises(DatasetError, match="expected at least two episodes: one to calibrate on, one to judge by"):
        read_calibration(tmp_path / "data", CONTRACT, 4)


def test_observations_of_another_policy_are_refused_with_their_place(folder: Path) -> None:
    with pytest.raises(InputError, match=r"calibration, episode \d, frame \d: camera .*calibrate on data as"):
        read_calibration(folder, make_contract(AWKWARD), 4)


def test_a_number_of_observations_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="calibration observations; expected 1 to 65536; received 0"):
        read_calibration(folder, CONTRACT, 0)


def test_without_pyarrow_the_extra_to_install_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("hyt.dataset")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"expected pyarrow and Pillow; .*install hyt\[dataset\]"):
        read_calibration(folder, CONTRACT, 4)
