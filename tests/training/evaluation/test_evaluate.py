"""hyt-train evaluate: episodes through the firmware, the same as hyt-run drive's, and not run twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundles import write_arm_bundle

from hyt.runtime.cli import main as hyt_run
from hyt.simulation.tasks import TASKS
from hyt.training.cli import main
from hyt.training.evaluation import worker
from hyt.training.evaluation.entries import Entry, open_entries, tasks_known
from hyt.training.evaluation.log import Job, Record, open_log
from hyt.training.evaluation.protocol import PROTOCOLS
from hyt.training.evaluation.run import Plan

TASK = "drawer-open-v3"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Eight steps a chunk: an episode of 500 control steps is thirteen decisions.
    return write_arm_bundle(tmp_path_factory.mktemp("arm"), steps=8)


def evaluate(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments)])


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_two_processes_give_the_episodes_that_a_drive_gives(bundle: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    options = ["--tasks", TASK, "--modes", "act,think,follow-own", "--seeds", "900000", "--episodes", "1"]
    assert evaluate(bundle, *options, "--workers", "2", "--json", ours) == 0
    act, think, _ = read(ours)["results"]
    for group in (act, think):
        drive = ["drive", str(bundle), "--robot", f"sim:metaworld/{TASK}", "--mode", group["mode"]]
        assert hyt_run([*drive, "--seed", "900000", "--threads", "1", "--no-view", "--json", str(theirs)]) == 0
        (robot,) = read(theirs)["robots"]
        assert group["total"]["solved"] == robot["successes"]
        assert group["thinking"]["decisions"] == robot["decisions"]
    assert think["thinking"]["thoughts"] == think["thinking"]["decisions"]
    assert act["thinking"]["thoughts"] == 0


def test_a_checkpoint_and_its_bundle_are_two_policies_compared_on_the_same_episodes(
    bundle: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    options = ["--tasks", TASK, "--modes", "act", "--seeds", "validation", "--episodes", "1", "--workers", "1"]
    assert evaluate(bundle.with_name("tiny"), bundle, *options, "--json", report) == 0
    data = read(report)
    assert list(data["policies"]) == ["tiny f32", "tiny q4_0"]
    (comparison,) = data["comparisons"]
    assert (comparison["baseline"], comparison["candidate"], comparison["episodes"]) == ("tiny f32", "tiny q4_0", 1)


def test_an_evaluation_goes_on_where_it_was_killed(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, report = tmp_path / "all.jsonl", tmp_path / "all.json"
    options = ["--tasks", TASK, "--modes", "act", "--seeds", "900000", "--episodes", "2", "--workers", "1"]
    run = worker.Worker.run
    ran: list[int] = []

    def stopped_after_one(self: worker.Worker, job: Job) -> Any:
        if len(ran) == 1:
            raise KeyboardInterrupt
        ran.append(job.seed)
        return run(self, job)

    monkeypatch.setattr(worker.Worker, "run", stopped_after_one)
    assert evaluate(bundle, *options, "--log", log) == 130
    assert len(log.read_text().splitlines()) == 1
    ran.clear()
    monkeypatch.setattr(worker.Worker, "run", lambda self, job: (ran.append(job.seed), run(self, job))[1])
    assert evaluate(bundle, *options, "--log", log, "--json", report) == 0
    assert ran == [900001]
    assert read(report)["results"][0]["total"]["episodes"] == 2
    ran.clear()
    assert evaluate(bundle, *options, "--log", log) == 0
    assert ran == []


def test_words_that_the_policy_does_not_know_are_failures_with_their_reason(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "follow.json"
    options = ["--tasks", TASK, "--modes", "follow", "--seeds", "900000", "--episodes", "2", "--workers", "1"]
    assert evaluate(bundle, *options, "--json", report) == 0
    (group,) = read(report)["results"]
    assert (group["total"]["solved"], group["total"]["episodes"]) == (0, 2)
    assert "received unknown 'subtask'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--modes", "act,dream"], 5, "mode 'dream'; expected one of act, think, "),
        (["--tasks", "juggle-v3"], 5, "task 'juggle-v3'; expected one of drawer-open-v3, "),
        (["--seeds", "sown"], 5, "seeds 'sown'; expected held-out, "),
        (["--episodes", "101"], 5, "--episodes; expected at most the 100 seeds held-out; received 101"),
        (["--modes", "act,gate"], 5, "policy 'tiny'; expected one with a gate; received none; think never or always"),
        (["--json", "/nowhere/out.json"], 5, "output /nowhere/out.json; expected an existing parent folder"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert evaluate(bundle, *arguments) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hyt-train: {message}")


def test_a_folder_that_is_no_policy_and_a_policy_named_twice_are_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tmp_path) == 3
    assert "expected a bundle (manifest.json) or a checkpoint (hyt.json); received neither" in capsys.readouterr().err
    assert evaluate(bundle, bundle) == 5
    assert "received 'tiny q4_0', the same as 'tiny q4_0'" in capsys.readouterr().err


def test_one_bundle_by_both_backends_is_two_policies_on_the_same_seeds(tmp_path: Path) -> None:
    bundle = write_arm_bundle(tmp_path, steps=8, onnx="fused")
    report = tmp_path / "both.json"
    options = ["--modes", "act", "--tasks", TASK, "--seeds", "900000", "--episodes", "1", "--workers", "1"]
    assert evaluate(bundle, "--backends", "core,onnx", *options, "--json", report) == 0
    core, onnx = read(report)["policies"].values()
    assert onnx["identity"] == f"{core['identity']}+onnx"
    lines = [json.loads(line) for line in report.with_suffix(".jsonl").read_text().splitlines()]
    assert [(line["policy"], line["seed"]) for line in lines] == [
        (core["identity"], 900000), (onnx["identity"], 900000)
    ]  # fmt: skip


def test_an_unknown_backend_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(bundle, "--backends", "core,ort") == 5
    assert "backends; expected some of core, onnx; received 'ort'" in capsys.readouterr().err


def test_the_default_tasks_are_those_whose_instructions_the_contract_lists() -> None:
    entry = Entry("arm", Path("arm.hyt"), "f32", "0", ("close the drawer", "open the drawer"))
    assert tasks_known([entry]) == ["drawer-open-v3", "drawer-close-v3"]
    assert tasks_known([replace(entry, instructions=())]) == list(TASKS)


def test_the_mt50_protocol_runs_fifty_tasks_and_scores_the_mean_over_its_groups(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """This policy knows the words of few instructions; the tasks of the others count as not solved."""
    report, log = tmp_path / "mt50.json", tmp_path / "mt50.jsonl"
    entry = open_entries([bundle], ["f32"], tmp_path)[0]
    # What has been driven already is not driven again: here all but one episode of the tasks whose words it knows.
    protocol = PROTOCOLS["lerobot-mt50"]
    with open_log(log) as records:
        for job in Plan([entry], ["act"], protocol.tasks, protocol.seeds).jobs():
            if job.task in TASKS and (job.task, job.seed) != (TASK, protocol.seeds[0]):
                records.add(Record(*job.key, success=job.task == "drawer-close-v3"))
    assert evaluate(bundle, "--protocol", "lerobot-mt50", "--workers", "1", "--json", report) == 0
    data = read(report)
    (score,) = data["scores"]
    assert {name: group["episodes"] for name, group in score["groups"].items()} == {
        "easy": 280,
        "medium": 110,
        "hard": 60,
        "very hard": 50,
    }
    solved = score["groups"]["easy"]["solved"]
    assert solved in (10, 11)
    assert score["mean_over_groups"] == pytest.approx(solved / 280 / 4, abs=1e-4)
    printed = capsys.readouterr().out
    assert "mean over groups" in printed
    assert "'Hammer a screw on the wall'; expected words the policy's tokenizer knows; received unknown" in printed


def test_a_protocol_fixes_its_tasks_and_seeds(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(bundle, "--protocol", "lerobot-mt50", "--seeds", "paired") == 5
    assert "--protocol; expected no --tasks, --seeds or --episodes" in capsys.readouterr().err


def test_midway_modes_count_the_way_in_which_the_thing_moved(bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "midway.json"
    options = ["--modes", "act-midway", "--seeds", "900000", "--episodes", "1", "--workers", "1"]
    assert evaluate(bundle, *options, "--tasks", f"{TASK},door-open-v3", "--json", report) == 0
    (group,) = read(report)["results"]
    assert list(group["tasks"]) == [TASK]
    assert sum(group["moved"].values()) == 1
    assert group["moved"]["asked"] == group["total"]["solved"]
