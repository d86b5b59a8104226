"""Tests of hyt-run replay: what was recorded is said again token by token, and what is not the same is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import write_bundle
from fakes import FakeRobot
from recordings import facts, record, rewrite, with_pixel

import hyt
from hyt.runtime.cli import main
from hyt.runtime.listener import Decision, Listener
from hyt.runtime.loop import Modality, run_episode
from hyt.runtime.record.format import RecordedThought
from hyt.runtime.record.recorder import Recorder
from hyt.runtime.record.recording import Recording, Step
from hyt.runtime.record.replay import replay
from hyt.runtime.schedule import Limits, Schedule, Thinking

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def recorded(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty decisions of thinking; read only."""
    return record(tiny_bundle, tmp_path_factory.mktemp("recorded") / "run", "think", 20)


@pytest.mark.parametrize("modality", ["act", "think", "follow", "gate"])
def test_two_hundred_decisions_of_each_modality_are_said_again(
    gated_bundle: Path, tmp_path: Path, modality: Modality, capsys: Captured
) -> None:
    record(gated_bundle, tmp_path / "run", modality, 200)
    assert main(["replay", str(tmp_path / "run"), "--json", str(tmp_path / "replay.json")]) == 0
    report = json.loads((tmp_path / "replay.json").read_text())
    (one,) = report["recordings"]
    assert one["identical"]
    assert (one["decisions"], one["differing"], one["tokens"], one["same_tokens"]) == (200, 0, 1600, 1600)
    assert one["thoughts"] == {"act": 0, "think": 200, "follow": 0}.get(modality, one["thoughts"])
    if modality == "gate":
        assert 0 < one["thoughts"] < 200
    assert one["mean_difference"] == [0.0] * 4
    assert "200" in capsys.readouterr().out


def test_a_continuous_policys_numbers_are_the_same_bit_by_bit(continuous_bundle: Path, tmp_path: Path) -> None:
    path = record(continuous_bundle, tmp_path / "run", "act", 30)
    with hyt.load(continuous_bundle, threads=1) as policy:
        assert replay(Recording(path), policy).first is None

        def nudge(number: int, message: dict[str, Any]) -> dict[str, Any]:
            row = message["steps"][1]
            row["y"] = float(np.nextafter(np.float32(row["y"]), np.float32(9))) if number == 4 else row["y"]
            return message

        first = replay(Recording(rewrite(path, {"/action": nudge})), policy).first
    assert first is not None
    assert (first.decision, first.what) == (4, "action value 6 of 8 (y of step 2)")


def test_one_changed_pixel_is_found_and_named(
    tiny_bundle: Path, recorded: Path, tmp_path: Path, capsys: Captured
) -> None:
    path = rewrite(recorded, {"/camera/camera0": with_pixel(decision=12, row=5, column=17)}, tmp_path / "changed.mcap")
    assert main(["replay", str(path), "--bundle", str(tiny_bundle)]) == 14
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    place = "decision 12: the image of camera 'camera0' at row 5, column 17 was changed after it was recorded"
    assert f"{path}: {place}; expected SHA-256 " in said


def test_a_changed_state_is_found(recorded: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    def nudge(number: int, message: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(message["values"]))
        message["values"][name] += 1e-3 if number == 3 else 0
        return message

    path = rewrite(recorded, {"/state": nudge}, tmp_path / "changed.mcap")
    with hyt.load(tiny_bundle, threads=1) as policy:
        first = replay(Recording(path), policy).first
    assert first is not None
    assert (first.decision, first.what) == (3, "the state was changed after it was recorded")


@pytest.mark.parametrize(
    ("field", "what"),
    [("tokens", "action token 3 of 8 (z of step 1)"), ("thought_ids", "token 3 of the thought")],
)
def test_the_first_token_that_differs_is_named(
    recorded: Path, tiny_bundle: Path, tmp_path: Path, field: str, what: str
) -> None:
    expected = []

    def change(number: int, message: dict[str, Any]) -> dict[str, Any]:
        if number in (7, 9):
            message[field][2] += 1
            expected.append(str(message[field][2]))
        return message

    path = rewrite(recorded, {"/decision": change}, tmp_path / "changed.mcap")
    with hyt.load(tiny_bundle, threads=1) as policy:
        result = replay(Recording(path), policy)
    assert result.first is not None
    assert (result.first.decision, result.first.what, result.first.expected) == (7, what, expected[0])
    assert int(result.first.received) == int(expected[0]) - 1
    assert (result.decisions, result.differing) == (20, 2)


def test_another_bundle_is_refused_and_compared_only_when_asked(
    recorded: Path, tmp_path: Path, capsys: Captured
) -> None:
    from checkpoints import Shape

    other = write_bundle(tmp_path, Shape(), "f32")
    assert main(["replay", str(recorded), "--bundle", str(other)]) == 4
    assert "give the recorded bundle, or --any-bundle to compare another policy" in capsys.readouterr().err
    assert main(["replay", str(recorded), "--bundle", str(other), "--any-bundle"]) in (0, 14)
    assert "replayed" in capsys.readouterr().out


def test_a_bundle_that_is_no_longer_where_it_was_must_be_named(
    recorded: Path, tiny_bundle: Path, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "away.mcap"
    os.link(recorded, path)
    moved = tmp_path / "moved.hyt"
    tiny_bundle.rename(moved)
    try:
        assert main(["replay", str(path)]) == 4
        assert "received no such directory; name the bundle with --bundle" in capsys.readouterr().err
        assert main(["replay", str(path), "--bundle", str(moved)]) == 0
    finally:
        moved.rename(tiny_bundle)


def test_a_device_is_as_it_was_then_or_as_it_is_named(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hyt.load(tiny_bundle, threads=1) as policy, Recorder(tmp_path, facts(policy, device="tpu")) as recorder:
        recorder.attend("fake", "act")
        run_episode(
            policy, FakeRobot(4), instruction="open the drawer", modality="act", max_decisions=4, listeners=[recorder]
        )
    assert main(["replay", str(tmp_path)]) == 5
    assert "received 'tpu'" in capsys.readouterr().err
    assert main(["replay", str(tmp_path), "--device", "cpu"]) == 0


def test_the_list_says_what_a_folder_holds(recorded: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["replay", str(recorded.parent), "--list", "--json", str(tmp_path / "list.json")]) == 0
    (one,) = json.loads((tmp_path / "list.json").read_text())["recordings"]
    assert one.items() >= {"decisions": 20, "thoughts": 20, "ended": "done", "success": True, "seed": 7}.items()
    assert one["cameras"] == {"camera0": [28, 28]}
    assert "done, solved" in capsys.readouterr().out


def test_an_unfinished_recording_is_replayed_up_to_its_last_whole_decision(
    recorded: Path, tmp_path: Path, capsys: Captured
) -> None:
    data = recorded.read_bytes()
    path = tmp_path / "episode-0001.unfinished.mcap"
    path.write_bytes(data[: len(data) * 2 // 3])
    assert main(["replay", str(path)]) == 0
    said = capsys.readouterr().out
    assert "episode-0001.unfinished.mcap is unfinished: it ends within a record at byte " in said


def drive(bundle: Path, folder: Path, thinking: Thinking, decisions: int = 60) -> Path:
    """Drive with thoughts beside the actions, and record it."""
    with hyt.load(bundle, threads=1) as policy, Recorder(folder, facts(policy)) as recorder:
        recorder.attend("fake", "act")
        schedule = Schedule(thinking=thinking)
        run_episode(
            policy, FakeRobot(decisions), instruction="open the drawer", listeners=[recorder], schedule=schedule
        )
    return folder / "episode-0001.mcap"


def states(path: Path) -> set[str]:
    return {item.state for item in Recording(path).steps() if isinstance(item, RecordedThought)}


@pytest.mark.parametrize(("limits", "ends"), [(Limits(), "finished"), (Limits(thought_tokens=3), "cut")])
def test_thoughts_written_beside_the_actions_are_written_again(
    tiny_bundle: Path, tmp_path: Path, limits: Limits, ends: str
) -> None:
    path = drive(tiny_bundle, tmp_path / "run", Thinking("every", every=5, limits=limits))
    assert ends in states(path)
    with hyt.load(tiny_bundle, threads=1) as policy:
        result = replay(Recording(path), policy)
        assert (result.first, result.decisions) == (None, 60)
        assert result.thoughts >= 5

        def change(number: int, message: dict[str, Any]) -> dict[str, Any]:
            if message["state"] == ends:  # of a random policy some have no token at all
                message["ids"] = [id + 1 for id in message["ids"]]
            return message

        changed = replay(Recording(rewrite(path, {"/thought": change})), policy)
    assert changed.first is not None
    assert changed.first.what.startswith("token 1 of thought ")
    assert changed.differing >= 3


def test_decisions_behind_a_held_thought_are_made_again(tiny_bundle: Path, tmp_path: Path) -> None:
    path = drive(tiny_bundle, tmp_path / "run", Thinking("every", every=9, condition=True, hold=4))
    recording = Recording(path)
    with hyt.load(tiny_bundle, threads=1) as policy:
        assert replay(recording, policy).first is None
    asked = [item.decision.asked for item in recording.steps() if isinstance(item, Step)]
    assert {"act", "held"} == set(asked)


def test_what_a_controls_text_changed_in_mid_run_is_followed_again(tiny_bundle: Path, tmp_path: Path) -> None:
    controls = hyt.runtime.controls.Controls()

    class Says(Listener):
        def decided(self, decision: Decision) -> None:
            if decision.index == 3:
                controls.follow("MOVE left")
            elif decision.index == 6:
                controls.back()

    with hyt.load(tiny_bundle, threads=1) as policy:
        with Recorder(tmp_path / "run", facts(policy)) as recorder:
            recorder.attend("fake", "act")
            robot = FakeRobot(9)
            run_episode(policy, robot, instruction="open the drawer", listeners=[recorder, Says()], controls=controls)
        recording = Recording(tmp_path / "run" / "episode-0001.mcap")
        assert replay(recording, policy).first is None
    asked = [step.decision.asked for step in recording.steps()]  # type: ignore[union-attr]
    assert asked == ["act"] * 3 + ["follow"] * 3 + ["act"] * 3
