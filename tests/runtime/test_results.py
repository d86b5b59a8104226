"""Tests of hyt.runtime.cli.results: what a drive reports."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from hyt.runtime.cli.results import RobotResult, results_table
from hyt.runtime.listener import EpisodeResult
from hyt.runtime.statistics import wilson_interval

EPISODES = [
    EpisodeResult(7, True, 2, 0, 1.5, {"policy": [0.010, 0.020], "vision": [0.001, 0.002]}),
    EpisodeResult(8, False, 3, 1, 2.5, {"policy": [0.030, 0.040, 0.050], "vision": [0.003, 0.004, 0.005]}),
]
RESULT = RobotResult(
    "sim:metaworld/door-open-v3", "open the door", "act", EPISODES, {"ticks": 125, "rejected_frames": 0}
)


def test_the_dictionary_holds_seeds_counts_interval_latencies_and_counters() -> None:
    data = json.loads(json.dumps(RESULT.as_dict()))
    assert [(episode["seed"], episode["success"]) for episode in data["episodes"]] == [(7, True), (8, False)]
    assert (data["count"], data["successes"], data["decisions"]) == (2, 1, 5)
    assert data["wilson_95"] == [round(end, 4) for end in wilson_interval(1, 2)]
    assert data["latency_ms"]["policy"] == {"count": 5, "mean_ms": 30.0, "p50_ms": 30.0, "p99_ms": 49.6, "max_ms": 50.0}
    assert data["firmware"] == {"ticks": 125, "rejected_frames": 0}


def test_the_table_has_one_row_a_robot_and_fits_a_narrow_terminal() -> None:
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(results_table([RESULT]))
    row = next(line for line in console.export_text().splitlines() if "door-open-v3" in line)
    assert row.split() == ["door-open-v3", "1/2", "9-91%", "5", "30.0", "49.6", "1", "125", "0"]


def test_a_gated_drive_tells_how_often_it_thought_and_its_mean_latency() -> None:
    episodes = [replace(episode, thoughts=thoughts) for episode, thoughts in zip(EPISODES, (2, 0), strict=True)]
    result = replace(RESULT, modality="gate", episodes=episodes)
    assert result.as_dict()["thoughts"] == 2
    assert [episode["thoughts"] for episode in result.as_dict()["episodes"]] == [2, 0]
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(results_table([result]))
    row = next(line for line in console.export_text().splitlines() if "door-open-v3" in line)
    assert row.split() == ["door-open-v3", "1/2", "9-91%", "5", "40%", "30.0", "30.0", "49.6", "1", "125", "0"]


def test_thoughts_beside_the_actions_have_a_column_of_their_own() -> None:
    episodes = [replace(episode, finished_thoughts=count) for episode, count in zip(EPISODES, (2, 1), strict=True)]
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(results_table([replace(RESULT, episodes=episodes)]))
    row = next(line for line in console.export_text().splitlines() if "door-open-v3" in line)
    assert row.split() == ["door-open-v3", "1/2", "9-91%", "5", "3", "30.0", "49.6", "1", "125", "0"]


def test_a_robot_that_cannot_tell_has_neither_solved_nor_failed() -> None:
    result = replace(RESULT, judged=False)
    assert (result.as_dict()["successes"], result.as_dict()["wilson_95"]) == (None, None)
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(results_table([result]))
    row = next(line for line in console.export_text().splitlines() if "door-open-v3" in line)
    assert row.split() == ["door-open-v3", "-", "-", "5", "30.0", "49.6", "1", "125", "0"]
