"""The study from data to report, with tiny budgets; and what it chooses and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from training_data import random_decisions

from hyt.dataset import Dataset, DatasetWriter, Episode, encode_png, open_dataset
from hyt.errors import InputError
from hyt.simulation.tasks import TASKS
from hyt.training.cli import main
from hyt.training.data.arm import ARM
from hyt.training.study.design import first_episodes, tasks_of

TASK = "drawer-open-v3"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes of one task with seeds 4, 3, 2, 1, 0, the last two a policy's."""
    folder = tmp_path_factory.mktemp("data")
    writer = DatasetWriter(folder, ARM)
    for number, seed in enumerate((4, 3, 2, 1, 0)):
        decisions = random_decisions(seed, 3)
        episode = Episode(
            task=TASKS[TASK].instructions[0],
            instruction=TASKS[TASK].instructions[0],
            images={"corner2": [encode_png(decision.images["corner2"]) for decision in decisions]},
            states=np.stack([decision.state for decision in decisions]),
            actions=np.stack([decision.action[0] for decision in decisions]),
            thoughts=[str(decision.thought) for decision in decisions],
            sub_instructions=[str(decision.sub_instruction) for decision in decisions],
            seed=seed,
            source="policy" if number >= 3 else "expert",
        )
        writer.stage(f"{number:06d}", episode)
    writer.pack()
    return folder


def seeds(dataset: Dataset) -> list[int]:
    return sorted(episode.seed for episode in dataset.episodes)


def test_the_experts_first_episodes_are_chosen_and_small_choices_lie_in_large_ones(data: Path) -> None:
    dataset = open_dataset(data)
    assert tasks_of(dataset) == (TASK,)
    assert seeds(first_episodes(dataset, (TASK,), 1)) == [2]
    assert seeds(first_episodes(dataset, (TASK,), 3)) == [2, 3, 4]
    with pytest.raises(
        InputError, match="data of drawer-open-v3; expected at least 4 episodes of the expert; received 3"
    ):
        first_episodes(dataset, (TASK,), 4)


def test_a_study_fits_evaluates_reports_and_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hyt.simulation.metaworld.MAX_CONTROL_STEPS", 15)  # three decisions an episode
    out = tmp_path / "out"
    command = ["study", str(data), "-o", str(out), "--episodes", "1,2", "--positions", "200", "--batch", "2"]
    command += ["--eval-episodes", "1", "--threads", "1", "--workers", "1"]
    assert main(command) == 0
    report = json.loads((out / "study.json").read_text())
    assert [fit["name"] for fit in report["fits"]] == ["vla-1", "ecot-1", "hyt-1", "vla-2", "ecot-2", "hyt-2"]
    assert [group["mode"] for group in report["fits"][2]["results"]] == ["act", "think", "follow"]
    assert [(c["baseline"], c["candidate"], c["mode"]) for c in report["comparisons"]] == [
        (f"{base}-{size}", f"hyt-{size}", mode) for size in (1, 2) for base, mode in (("vla", "act"), ("ecot", "think"))
    ]
    assert "| hyt | follow | 0 = 0% (0 to 79) | 0 = 0% (0 to 79) |" in (out / "study.md").read_text()
    assert {path.name for path in out.glob("*.svg")} == {"study-data.svg", "study-latency.svg"}

    written = (out / "study.md").read_bytes()
    capsys.readouterr()
    assert main(command) == 0  # all of it is done: nothing is fitted or driven again
    assert [json.loads(line).get("step") for line in capsys.readouterr().out.splitlines()].count(None) == 7
    assert (out / "study.md").read_bytes() == written

    command[command.index("200")] = "300"
    assert main(command) == 5
    assert "out: positions; expected 200; received 300; name another folder" in capsys.readouterr().err


def test_more_data_than_there_is_is_refused_before_the_first_fit(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", str(data), "-o", str(tmp_path / "out"), "--episodes", "1,9"]) == 5
    assert "data of drawer-open-v3; expected at least 9 episodes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
