"""`hyt-train` answers bad input with one line and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyt.training.cli import main


def test_an_unknown_task_is_one_line_and_exit_code_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", str(tmp_path / "data"), "--tasks", "juggle"]) == 5
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("hyt-train: task 'juggle'; expected one of ")


def test_a_folder_without_a_dataset_is_exit_code_9(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(tmp_path), "-o", str(tmp_path / "out")]) == 9
    assert capsys.readouterr().err == (
        f"hyt-train: {tmp_path}; expected a LeRobotDataset; received no meta/info.json; name its folder\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_bundle_to_start_from_is_exit_code_3(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(tmp_path), "-o", str(tmp_path / "out"), "--init", str(tiny_bundle)]) == 3
    assert capsys.readouterr().err == (
        f"hyt-train: {tiny_bundle}; expected a checkpoint; received a bundle, whose weights were rounded; "
        "name the checkpoint that it was exported from\n"
    )


def test_a_name_that_is_none_is_exit_code_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fit", str(tmp_path), "-o", str(tmp_path / "out"), "--size", "tiny", "--name", "a\nb"]
    assert main(arguments) == 5
    assert "name; expected 1 to 128 printable characters; received 'a\\nb'" in capsys.readouterr().err


def test_a_count_below_one_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["collect", "x", "--episodes", "0"])
    assert stopped.value.code == 2


def test_what_the_operating_system_refuses_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", "/proc/none", "--tasks", "drawer-open-v3", "--episodes", "1", "--workers", "1"]) == 1
    assert capsys.readouterr().err == "hyt-train: /proc/none: No such file or directory\n"
