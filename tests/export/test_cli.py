"""hyt-export on the command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import AWKWARD, Checkpoint, write_checkpoint

from hyt.errors import CheckpointError
from hyt.export.cli import main
from hyt.runtime.bundle import open_bundle


def test_the_program_prints_sizes_types_and_errors_and_no_progress_into_a_pipe(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "hyt.export.cli",
        str(tiny_checkpoint.path),
        "-o",
        str(tmp_path / "x.hyt"),
        "--threads",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for word in ("text attention", "12 q4_0", "1 q8_0", "relative RMS error", "loaded and acted once", "peak"):
        assert word in done.stdout
    assert "\x1b" not in done.stdout


def test_no_torch_is_imported_for_an_export(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    program = (
        "import sys; from hyt.export.cli import main; code = main(sys.argv[1:]);"
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'transformers', 'safetensors', 'metaworld')))"
    )
    command = [
        sys.executable,
        "-c",
        program,
        str(tiny_checkpoint.path),
        "-o",
        str(tmp_path / "x.hyt"),
        "--threads",
        "1",
    ]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_json_holds_the_report_and_the_run(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert (
        main(
            [
                str(tiny_checkpoint.path),
                "-o",
                str(tmp_path / "x.hyt"),
                "--json",
                str(tmp_path / "r.json"),
                "--threads",
                "1",
            ]
        )
        == 0
    )
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["quantization"] == "q4_0"
    assert report["run"]["output"] == str(tmp_path / "x.hyt")
    assert report["run"]["seconds"] > 0
    assert report["run"]["peak_memory_bytes"] > report["run"]["peak_anonymous_bytes"] > 1e6
    bundled = json.loads((tmp_path / "x.hyt" / "report.json").read_text())
    assert {key: value for key, value in report.items() if key != "run"} == bundled


def test_a_json_file_that_cannot_be_written_is_refused_before_any_work(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    json_path = tmp_path / "nowhere" / "r.json"
    assert main([str(tiny_checkpoint.path), "-o", str(tmp_path / "x.hyt"), "--json", str(json_path)]) == 2
    assert str(json_path) in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_json_file_that_is_a_folder_is_refused_before_any_work(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tiny_checkpoint.path), "-o", str(tmp_path / "x.hyt"), "--json", str(tmp_path)]) == 2
    line = f"hyt-export: --json {tmp_path}: expected an ordinary file; received something else there\n"
    assert capfd.readouterr().err == line
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_name_that_cannot_be_printed_is_refused(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tiny_checkpoint.path), "-o", str(tmp_path / "bad\udc80.hyt")]) == 2
    assert capfd.readouterr().err.endswith("bad?.hyt: expected a printable name for the bundle\n")
    assert list(tmp_path.iterdir()) == []


def test_fallbacks_with_one_reason_are_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = write_checkpoint(tmp_path / "c", AWKWARD)
    assert main([str(checkpoint.path), "-o", str(tmp_path / "x.hyt"), "--threads", "1"]) == 0
    out = capfd.readouterr().out
    assert "25 x f32 in place of q4_0, rows of 52 do not divide by 32: blk.0.attn_q.weight, " in out


def test_an_existing_output_is_exit_code_7_and_stays(
    tiny_checkpoint: Checkpoint, bundle_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tiny_checkpoint.path), "-o", str(bundle_copy)]) == 7
    assert capfd.readouterr().err.count("\n") == 1
    assert (
        main([str(tiny_checkpoint.path), "-o", str(bundle_copy), "--force", "--quantization", "q8_0", "--threads", "1"])
        == 0
    )
    assert open_bundle(bundle_copy).manifest.quantization.requested == "q8_0"


def test_a_directory_that_is_no_bundle_is_not_replaced_even_with_force(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis").write_text("mine")
    assert main([str(tiny_checkpoint.path), "-o", str(tmp_path / "home"), "--force"]) == 7
    assert "choose another name" in capfd.readouterr().err
    assert (tmp_path / "home" / "thesis").read_text() == "mine"


@pytest.mark.parametrize(
    "arguments", [[], ["x"], ["x", "-o", "y", "--quantization", "q3"], ["x", "-o", "y", "--threads", "0"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    line = capfd.readouterr().err
    assert line.startswith("hyt-export: ")
    assert line.count("\n") == 1


def test_a_full_disk_is_one_line(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "x.hyt"))

    monkeypatch.setattr("hyt.export.draft.write_gguf", fail)
    assert main([str(tiny_checkpoint.path), "-o", str(tmp_path / "x.hyt")]) == 1
    assert capfd.readouterr().err == f"hyt-export: {tmp_path / 'x.hyt'}: No space left on device\n"
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_ours_is_one_line_with_its_exit_code(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), "-o", str(tmp_path / "x.hyt")]) == CheckpointError.exit_code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("hyt-export: ")
    assert err.count("\n") == 1


def test_activations_without_graphs_that_compute_with_them_are_refused(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(tiny_checkpoint.path), "-o", str(tmp_path / "x.hyt"), "--activations", "float32"]
    assert main(arguments) == 5
    assert capfd.readouterr().err == (
        "hyt-export: activations float32; expected ONNX graphs to compute with them; received none asked for; "
        "export with --onnx; the core is told by hyt-run --activations\n"
    )
    assert not (tmp_path / "x.hyt").exists()


def test_the_families_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-families"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["paligemma", "paligemma2", "openvla", "minivla", "llava"]
