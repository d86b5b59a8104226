"""A policy acts, the expert labels what it visits, on seeds of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import write_arm_bundle, write_bundle

from hyt.dataset import open_dataset
from hyt.errors import InputError
from hyt.runtime.observation import Observation
from hyt.runtime.policy import load
from hyt.simulation import seeds
from hyt.simulation.metaworld import MetaWorldArm
from hyt.simulation.tasks import TASKS
from hyt.simulation.thoughts import sub_instruction, thought
from hyt.training.cli import main
from hyt.training.data.arm import UNITS
from hyt.training.data.collect import hold_action
from hyt.training.data.corrections import collect_corrections, correct

TASK = "door-open-v3"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arm_bundle(tmp_path_factory.mktemp("arm"))


@pytest.fixture
def steady_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Short episodes, as a random policy never ends one."""
    monkeypatch.setattr("hyt.training.data.corrections.MOST_DECISIONS", 4)
    return bundle


def test_the_policy_moves_the_arm_and_the_expert_labels_it(steady_bundle: Path) -> None:
    """Replayed with the policy alone: what it saw and where it went is in the episode, and the expert's answer."""
    arm = MetaWorldArm(TASK)
    seed = next(s for s in seeds.CORRECT if np.random.default_rng([s, 7, *TASK.encode()]).random() >= 0.5)
    with load(steady_bundle, threads=1) as policy:
        episode, success = correct(arm, policy, seed, "act")
        assert not success
        assert len(episode) == 4
        arm.reset(seed)
        policy.reset(instruction=TASKS[TASK].instructions[0])
        for frame in range(3):
            images, state = arm.observe()
            np.testing.assert_array_equal(episode.states[frame], state)
            np.testing.assert_allclose(episode.actions[frame], arm.expert() * UNITS, rtol=1e-6)
            assert episode.thoughts is not None
            assert episode.sub_instructions is not None
            assert episode.thoughts[frame] == thought(arm)
            assert episode.sub_instructions[frame] == sub_instruction(arm)
            hold_action(arm, policy.act(Observation(images, state)).values[0] / UNITS)
    arm.close()


def test_the_command_collects_in_turns_of_the_modes_and_goes_on(steady_bundle: Path, tmp_path: Path) -> None:
    arguments = ["collect", str(tmp_path), "--policy", str(steady_bundle), "--tasks", TASK, "--workers", "1"]
    assert main([*arguments, "--modes", "act,think", "--episodes", "2", "--thoughts", "0.5"]) == 0
    assert main([*arguments, "--modes", "act,think", "--episodes", "3", "--thoughts", "0.5"]) == 0
    episodes = open_dataset(tmp_path).episodes
    assert [e.seed for e in episodes] == [10_000, 10_001, 10_002]
    assert [e.source for e in episodes] == ["act", "think", "act"]
    assert {e.length for e in episodes} == {4}


def test_demonstrations_and_corrections_share_a_dataset(steady_bundle: Path, tmp_path: Path) -> None:
    assert main(["collect", str(tmp_path), "--tasks", "drawer-close-v3", "--episodes", "1", "--workers", "1"]) == 0
    reports: list[dict[str, Any]] = []
    collect_corrections(tmp_path, steady_bundle, [TASK], 1, first_seed=20_000, workers=1, report=reports.append)
    assert reports == [{"task": TASK, "episodes": 1, "decisions": 4, "successes": 0}]
    assert [(e.source, e.seed) for e in open_dataset(tmp_path).episodes] == [("expert", 0), ("act", 20_000)]


def test_seeds_that_results_are_reported_on_are_refused(bundle: Path, tmp_path: Path) -> None:
    for first in (0, seeds.VALIDATION[0], seeds.HELD_OUT[0], seeds.STUDY[0]):
        with pytest.raises(InputError, match="first seed; expected one of"):
            collect_corrections(tmp_path / "x", bundle, [TASK], 1, first_seed=first)
    with pytest.raises(InputError, match="episodes; expected at most 10 for each task"):
        collect_corrections(tmp_path / "x", bundle, [TASK], 11, first_seed=99_990)


def test_a_policy_of_another_robot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="policy: cameras; expected the arm's corner2 of 128 x 128; received camera0"):
        collect_corrections(tmp_path / "x", write_bundle(tmp_path), [TASK], 1)
    assert not (tmp_path / "x").exists()


def test_an_unknown_mode_is_refused(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", str(tmp_path), "--policy", str(bundle), "--modes", "dream"]) == 5
    assert "--modes; expected act, think or both; received dream" in capsys.readouterr().err
