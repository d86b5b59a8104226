"""Collected episodes are the expert's, repeatable, and survive the way to disk and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hyt.errors import CheckpointError, InputError
from hyt.simulation.metaworld import MetaWorldArm
from hyt.training.collect import Disturbance, collect, demonstrate
from hyt.training.episodes import episode_path, read_episode


@pytest.fixture(scope="module")
def arm() -> Iterator[MetaWorldArm]:
    arm = MetaWorldArm("drawer-close-v3")
    yield arm
    arm.close()


@pytest.mark.parametrize("disturbed", [0.0, 1.0])
def test_a_demonstration_is_the_same_for_the_same_seed(arm: MetaWorldArm, disturbed: float) -> None:
    first = demonstrate(arm, 21, Disturbance(episodes=disturbed))
    demonstrate(arm, 22, Disturbance(episodes=disturbed))
    second = demonstrate(arm, 21, Disturbance(episodes=disturbed))
    assert first is not None
    assert second is not None
    for name in ("images", "states", "actions", "thoughts", "sub_instructions"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_labels_are_the_experts_even_where_the_arm_is_disturbed(arm: MetaWorldArm) -> None:
    """An undisturbed arm in the state of the first decision gets the same label from the expert."""
    episode = demonstrate(arm, 23, Disturbance(episodes=1.0, start=0))
    assert episode is not None
    arm.reset(23)
    np.testing.assert_array_equal(episode.actions[0], arm.expert().astype(np.float32))
    assert np.abs(episode.actions).max() <= 1.0


def test_collecting_again_keeps_what_is_there(tmp_path: Path) -> None:
    reports: list[dict[str, object]] = []
    collect(tmp_path, ["drawer-close-v3"], 2, workers=1, report=reports.append)
    kept = sorted(tmp_path.glob("*/*.npz"))
    stamps = [path.stat().st_mtime_ns for path in kept]
    assert kept
    collect(tmp_path, ["drawer-close-v3"], 2, workers=1)
    assert [path.stat().st_mtime_ns for path in kept] == stamps
    episode = read_episode(kept[0])
    assert episode.images.shape[1:] == (128, 128, 3)
    assert len(episode.thoughts) == len(episode.actions)


def test_an_unknown_task_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="task 'juggle'"):
        collect(tmp_path / "data", ["juggle"], 1)
    assert not (tmp_path / "data").exists()


def test_a_damaged_episode_is_named(tmp_path: Path) -> None:
    path = episode_path(tmp_path, "drawer-close-v3", 7)
    path.parent.mkdir()
    path.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(CheckpointError, match=r"000007\.npz; expected an episode file"):
        read_episode(path)
