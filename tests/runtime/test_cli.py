"""Tests of hyt-run's errors: one line on standard error, the exit code, nothing half-written."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hyt
from hyt.runtime.cli import main
from hyt.runtime.cli.output import check_output, write_json
from hyt.runtime.cli.robots import open_robot, robot_names

Captured = pytest.CaptureFixture[str]


def failed(capsys: Captured, *arguments: str) -> tuple[int, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return code, captured.err.strip()


@pytest.mark.parametrize("command", [["drive", "--robot", "sim:metaworld/drawer-open-v3"], ["bench"], ["inspect"]])
def test_a_missing_bundle_is_exit_code_4(command: list[str], tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "missing.hyt"
    assert failed(capsys, command[0], str(path), *command[1:]) == (
        4,
        f"hyt-run: {path}; expected a bundle directory; received no such directory; write one with hyt-export",
    )


def test_a_bundle_without_onnx_graphs_names_the_option_that_writes_them(tiny_bundle: Path, capsys: Captured) -> None:
    code, line = failed(capsys, "bench", str(tiny_bundle), "--backend", "onnx")
    assert code == 4
    assert line.endswith("expected ONNX graphs in it; received none; export the checkpoint with hyt-export --onnx")


@pytest.mark.parametrize(("option", "received"), [(["--kv", "f16"], "kv type 'f16'"), (["--mapped"], "mapped True")])
def test_what_the_onnx_backend_has_not_is_exit_code_5(
    tiny_bundle: Path, capsys: Captured, option: list[str], received: str
) -> None:
    assert failed(capsys, "bench", str(tiny_bundle), "--backend", "onnx", *option) == (
        5,
        "hyt-run: backend 'onnx'; expected keys and values in f32, weights that are copied and nothing left out; "
        f"received {received}; take the backend 'core', or leave it out",
    )


@pytest.mark.parametrize("options", [[], ["--profile"]])
def test_a_device_that_is_not_there_is_exit_code_5(tiny_bundle: Path, capsys: Captured, options: list[str]) -> None:
    code, line = failed(capsys, "bench", str(tiny_bundle), "--device", "tpu", *options)
    assert code == 5
    assert line.startswith("hyt-run: device; expected one of those that the installed ggml has: ")
    assert "; received 'tpu'; CMAKE_ARGS=" in line


def test_a_provider_without_the_onnx_backend_is_exit_code_5(tiny_bundle: Path, capsys: Captured) -> None:
    assert failed(capsys, "bench", str(tiny_bundle), "--provider", "cuda") == (
        5,
        "hyt-run: provider; expected none but with backend 'onnx'; received 'cuda'",
    )


def test_an_unknown_kind_of_robot_is_exit_code_5(capsys: Captured) -> None:
    assert failed(capsys, "drive", "x.hyt", "--robot", "xarm") == (
        5,
        "hyt-run: robot 'xarm'; expected sim:metaworld/TASK or serial:robot.toml; e.g. sim:metaworld/drawer-open-v3",
    )


def test_a_page_at_no_address_is_refused_before_any_work(capsys: Captured) -> None:
    assert failed(capsys, "drive", "x.hyt", "--robot", "sim:metaworld/drawer-open-v3", "--view", "8080") == (
        5,
        "hyt-run: --view '8080'; expected :PORT or HOST:PORT; received another form; e.g. --view :8080",
    )


def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "none" / "x.json"
    assert failed(capsys, "drive", "x.hyt", "--robot", "sim:metaworld/drawer-open-v3", "--json", str(path)) == (
        5,
        f"hyt-run: output {path}; expected an existing parent folder; received none; create it",
    )


def test_a_usage_error_is_exit_code_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["drive", "x.hyt"])
    assert caught.value.code == 2


def test_an_interrupt_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def interrupt(path: str, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hyt.runtime.cli.inspect.open_bundle", interrupt)
    assert failed(capsys, "inspect", "x.hyt") == (130, "hyt-run: interrupted")


def test_a_missing_simulator_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imports: Callable[..., Any] = builtins.__import__

    def without_metaworld(name: str, *rest: Any) -> Any:
        if name == "metaworld":
            raise ModuleNotFoundError("No module named 'metaworld'", name="metaworld")
        return imports(name, *rest)

    for name in [name for name in sys.modules if name.startswith(("hyt.simulation.", "metaworld"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without_metaworld)
    with pytest.raises(hyt.MissingDependencyError) as caught:
        open_robot("sim:metaworld/drawer-open-v3", None)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "robot 'sim:metaworld/drawer-open-v3'; expected the simulator; received No module named 'metaworld'; "
        "pip install 'hyt[sim]' and the system packages libegl1 libgl1-mesa-dri"
    )
    assert caught.value.exit_code == 8


def test_missing_graphics_name_the_packages_to_install() -> None:
    program = "from hyt.runtime.cli.robots import open_robot; open_robot('sim:metaworld/drawer-open-v3', None)"
    result = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "MUJOCO_GL": "none"}, capture_output=True, text=True
    )
    assert result.stderr.splitlines()[-1] == (
        "hyt.errors.MissingDependencyError: robot 'sim:metaworld/drawer-open-v3'; expected headless graphics "
        "(MUJOCO_GL=egl or osmesa); received invalid value for environment variable MUJOCO_GL: none; install the "
        "system packages libegl1 libgl1-mesa-dri"
    )


def test_several_tasks_may_share_one_prefix() -> None:
    assert robot_names("sim:metaworld/a, b,sim:metaworld/c") == [f"sim:metaworld/{task}" for task in "abc"]


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    with pytest.raises(hyt.InputError, match="expected an ordinary file; received something else there; name another"):
        check_output(tmp_path)
    (tmp_path / "x").touch()
    with pytest.raises(hyt.InputError, match="expected a folder; received something else there; name another"):
        check_output(tmp_path / "x", folder=True)


def test_a_device_is_never_replaced_by_a_report() -> None:
    with pytest.raises(hyt.InputError, match="output /dev/null; expected an ordinary file"):
        check_output(Path("/dev/null"))


def test_a_report_written_through_a_link_leaves_the_link(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "target.json")
    write_json(link, {"a": 1})
    assert link.is_symlink()
    assert (tmp_path / "target.json").read_text() == '{\n  "a": 1\n}\n'


def test_what_the_system_refuses_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
) -> None:
    def refuse(path: str, **options: object) -> None:
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr("hyt.runtime.cli.inspect.open_bundle", refuse)
    assert failed(capsys, "inspect", "x.hyt") == (1, "hyt-run: x.hyt: No space left on device")


@pytest.mark.parametrize("threads", ["-1", "600", "99999999999"])
def test_a_wrong_number_of_threads_is_exit_code_5(threads: str, tiny_bundle: Path, capsys: Captured) -> None:
    code, line = failed(capsys, "bench", str(tiny_bundle), "--threads", threads)
    assert code == 5
    assert line == f"hyt-run: threads; expected 0 (all physical cores but one) to 512; received {threads}"


def test_a_negative_seed_is_a_usage_error(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["drive", "x.hyt", "--robot", "sim:metaworld/drawer-open-v3", "--seed", "-1"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "hyt-run drive: argument --seed: expected a whole number of at least 0, received '-1' "
        "(hyt-run drive --help tells what there is)\n"
    )


@pytest.mark.parametrize("options", [[], ["--profile"], ["--schedule"]])
def test_an_empty_instruction_is_not_taken_for_none(options: list[str], tiny_bundle: Path, capsys: Captured) -> None:
    code, line = failed(capsys, "bench", str(tiny_bundle), "--instruction", "", *options)
    assert code == 5
    assert line.startswith("hyt-run: instruction; expected ")


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="nan"):
        write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]
