"""Tests of hyt-run drive in the simulator: its table, its JSON, its films, in every mode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundles import write_arm_bundle

from hyt.runtime.bundle import describe_file, open_bundle
from hyt.runtime.cli import main
from hyt.runtime.statistics import wilson_interval

ROBOT = "sim:metaworld/drawer-open-v3"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Eight steps a chunk: an episode of 500 control steps is thirteen decisions.
    return write_arm_bundle(tmp_path_factory.mktemp("arm"), steps=8)


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arm_bundle(tmp_path_factory.mktemp("gated"), steps=8, gate_units=8)


def test_a_drive_over_two_tasks_reports_seeds_counts_latencies_and_counters(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "act.json"
    command = ["drive", str(bundle), "--robot", f"{ROBOT},drawer-close-v3", "--episodes", "2", "--seed", "900000"]
    assert main([*command, "--instruction", "open the drawer", "--threads", "1", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count(" seed 900000 ") == printed.count(" seed 900001 ") == 2
    report = json.loads(path.read_text())
    assert report["bundle"]["manifest_sha256"] == describe_file(bundle / "manifest.json").sha256
    assert {"python", "hyt", "numpy", "metaworld"} <= set(report["versions"])
    assert [robot["robot"] for robot in report["robots"]] == [ROBOT, "sim:metaworld/drawer-close-v3"]
    steps = open_bundle(bundle).contract.action.steps
    for robot in report["robots"]:
        assert robot["instruction"] == "open the drawer"
        assert [episode["seed"] for episode in robot["episodes"]] == [900000, 900001]
        assert robot["successes"] == sum(episode["success"] for episode in robot["episodes"])
        assert robot["wilson_95"] == [round(end, 4) for end in wilson_interval(robot["successes"], 2)]
        assert robot["latency_ms"]["policy"]["count"] == robot["decisions"]
        assert robot["firmware"]["rejected_frames"] == robot["firmware"]["rejected_chunks"] == 0
        assert robot["firmware"]["chunks"] == robot["decisions"] + 2
        assert robot["firmware"]["ticks"] <= robot["decisions"] * 25 * steps + 2 * 1000


def test_a_drive_through_an_emulated_microcontroller_moves_the_arm_as_one_through_this_computer_does(
    bundle: Path, tmp_path: Path
) -> None:
    reports = []
    for mcu in ("host", "qemu"):
        path = tmp_path / f"{mcu}.json"
        command = ["drive", str(bundle), "--robot", ROBOT, "--seed", "900000", "--threads", "1", "--no-view"]
        assert main([*command, "--mcu", mcu, "--json", str(path)]) == 0
        reports.append(json.loads(path.read_text())["robots"][0])
    host, qemu = reports
    assert qemu["firmware"] == host["firmware"]
    assert qemu["firmware"]["ticks"] > 1000
    assert (qemu["decisions"], qemu["successes"]) == (host["decisions"], host["successes"])


def test_a_thinking_drive_is_filmed_with_its_thoughts(bundle: Path, tmp_path: Path) -> None:
    folder, path = tmp_path / "film", tmp_path / "think.json"
    command = ["drive", str(bundle), "--robot", ROBOT, "--mode", "think", "--seed", "900000", "--threads", "1"]
    assert main([*command, "--film", str(folder), "--json", str(path)]) == 0
    names = [f"drawer-open-v3-think-900000.{kind}" for kind in ("mp4", "png")]
    assert sorted(file.name for file in folder.iterdir()) == names
    (robot,) = json.loads(path.read_text())["robots"]
    assert robot["modality"] == "think"
    assert robot["latency_ms"]["thought"]["p50_ms"] > 0


def test_a_following_drive_takes_the_users_words(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "follow.json"
    command = ["drive", str(bundle), "--robot", ROBOT, "--mode", "follow", "--instruction", "MOVE left"]
    assert main([*command, "--seed", "900000", "--threads", "1", "--json", str(path)]) == 0
    (robot,) = json.loads(path.read_text())["robots"]
    assert (robot["modality"], robot["instruction"]) == ("follow", "MOVE left")


@pytest.mark.parametrize("mode", ["act", "follow"])
def test_empty_words_are_refused_and_not_taken_for_none(
    mode: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drive", str(bundle), "--robot", ROBOT, "--instruction", "", "--mode", mode, "--no-view"]) == 5
    assert "instruction; expected" in capsys.readouterr().err


def test_a_gated_drive_reports_its_threshold_and_how_often_it_thought(gated: Path, tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    command = ["drive", str(gated), "--robot", ROBOT, "--mode", "gate", "--seed", "900000", "--threads", "1"]
    assert main([*command, "--gate-threshold", "0.25", "--no-view", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    (robot,) = report["robots"]
    assert report["gate"] == {"threshold": 0.25}
    assert report["schedule"]["thinking"]["when"] == "never"
    assert report["schedule"]["thinking"]["limits"]["tokens_per_second"] is None
    assert report["real_time"] is False
    assert robot["modality"] == "gate"
    assert robot["thoughts"] == sum(episode["thoughts"] for episode in robot["episodes"]) <= robot["decisions"]
    assert robot["latency_ms"]["thought"]["count"] == robot["decisions"]


@pytest.mark.parametrize("clock", [[], ["--real-time"]])
def test_thoughts_beside_the_actions_are_counted_apart_from_those_before_them(
    bundle: Path, tmp_path: Path, clock: list[str]
) -> None:
    path = tmp_path / "beside.json"
    command = ["drive", str(bundle), "--robot", ROBOT, "--seed", "900000", "--threads", "1", "--no-view", *clock]
    command += ["--think", "every=2", "--condition-on", "thought", "--hold", "1", "--decisions", "6"]
    assert main([*command, "--period", "0.25", "--blend", "2", "--json", str(path)]) == 0
    (robot,) = json.loads(path.read_text())["robots"]
    assert (robot["modality"], robot["decisions"], robot["thoughts"]) == ("act", 6, 0)
    assert 1 <= robot["finished_thoughts"] <= 3
    assert robot["finished_thoughts"] == robot["episodes"][0]["finished_thoughts"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--think", "now"], "--think; expected never, always, gate, every=N (decisions) or rate=R (a minute)"),
        (["--think", "rate=0"], "rate; expected thoughts a minute above 0; received 0"),
        (["--think", "always", "--mode", "gate"], "--think always; expected --mode think; received --mode gate"),
        (["--period", "0.1"], "period; expected a whole number of steps of 0.0625 s, 1 to 8 of them; received 0.1 s"),
        (["--blend", "1"], "blend; expected 0 to 0 steps, as many as a chunk plans beyond its period; received 1"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main(["drive", str(bundle), "--robot", ROBOT, "--threads", "1", "--no-view", *more]) == 5
    assert said in capsys.readouterr().err


def test_a_gate_that_is_not_there_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drive", str(bundle), "--robot", ROBOT, "--think", "gate", "--threads", "1"]) == 5
    assert capsys.readouterr().err == (
        "hyt-run: policy 'tiny'; expected one with a gate; received none; "
        "think never or always, or train a gate with hyt-train gate\n"
    )


def test_a_threshold_without_the_gate_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["drive", str(bundle), "--robot", ROBOT, "--think", "always", "--gate-threshold", "0.5"]
    assert main(command) == 5
    assert (
        "--gate-threshold; expected --mode gate or --think gate with it; received --mode think"
        in capsys.readouterr().err
    )


def test_an_onlooker_whose_words_the_policy_does_not_know_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drive", str(bundle), "--robot", ROBOT, "--mode", "follow", "--threads", "1"]) == 5
    assert "received unknown 'subtask'" in capsys.readouterr().err


def test_several_robots_on_one_port_are_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drive", str(bundle), "--robot", f"{ROBOT},door-open-v3", "--port", "/dev/ttyACM0"]) == 5
    assert capsys.readouterr().err == "hyt-run: --port; expected one robot; received 2; drive one task at a time\n"
