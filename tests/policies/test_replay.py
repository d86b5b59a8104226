"""The shipped policy, recorded while it drives the simulated arm, says the same tokens again in every modality."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyt.export.exporter import export_bundle
from hyt.runtime.cli import main

CHECKPOINT = Path(__file__).parents[2] / "policies" / "metaworld-arm"
DRIVE = ["--robot", "sim:metaworld/push-v3", "--instruction", "move up", "--episodes", "2", "--seed", "900000"]
"""Nothing is pushed by moving up: each episode lasts for as long as it may, a hundred decisions."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "arm.hyt"
    export_bundle(CHECKPOINT, path)
    return path


# The gate asks for what act and think are: on fewer cores it would only take the tests' time.
GATE = pytest.param("--think=gate", marks=pytest.mark.slow)


@pytest.mark.parametrize("how", ["--mode=act", "--mode=think", "--mode=follow", GATE])
def test_a_drive_of_two_hundred_decisions_is_token_identical_when_replayed(
    bundle: Path, how: str, tmp_path: Path
) -> None:
    folder, report = tmp_path / "run", tmp_path / "replay.json"
    assert main(["drive", str(bundle), *DRIVE, how, "--threads", "1", "--no-view", "--record", str(folder)]) == 0
    assert main(["replay", str(folder), "--json", str(report)]) == 0
    episodes = json.loads(report.read_text())["recordings"]
    assert [episode["identical"] for episode in episodes] == [True] * 2
    assert all(episode["finished"] for episode in episodes)
    assert sum(episode["decisions"] for episode in episodes) == 200
    assert sum(episode["same_tokens"] for episode in episodes) == sum(episode["tokens"] for episode in episodes) >= 800
    thoughts = sum(episode["thoughts"] for episode in episodes)
    if how != "--think=gate":
        assert thoughts == (200 if how == "--mode=think" else 0)
