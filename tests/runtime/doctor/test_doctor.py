"""hyt-run doctor: computer, bundle, robot, cameras and a real firmware; its table, its JSON and its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from proxy import Proxy
from robots import POLICY, gantry_text, write_robot

from hyt.export.exporter import export_bundle
from hyt.firmware_bridge import FirmwareProcess, Link, State
from hyt.runtime.cli import main
from hyt.runtime.doctor.computer import check_computer
from hyt.runtime.serial_robot import read_description

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "arm.hyt"
    export_bundle(POLICY, path, threads=1)
    return path


def doctor(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", *arguments, "--json", str(folder / "doctor.json")])
    findings = json.loads((folder / "doctor.json").read_text())["findings"]
    return code, {finding["subject"]: finding for finding in findings}


def test_a_robot_that_is_well_is_told_so_and_not_armed(bundle: Path, tmp_path: Path, capsys: Captured) -> None:
    config = read_description(write_robot(tmp_path)).firmware_config()
    with FirmwareProcess(config, lockstep=False) as firmware:
        write_robot(tmp_path, gantry_text(firmware.port))
        code, found = doctor(tmp_path, str(bundle), "--robot", str(tmp_path / "robot.toml"))
        with Link(firmware.port) as link:
            assert link.telemetry().state is State.DISARMED
    for subject in ("bundle", "robot.toml", "policy and robot", "camera corner2", "port", "firmware", "round trip"):
        assert found[subject]["level"] != "wrong", found[subject]
    assert found["devices"]["level"] == "good"
    assert "CPU (" in found["devices"]["found"]
    assert "GiB free" in found["devices"]["found"]
    assert found["firmware and robot"]["found"] == "agree on axes, limits and tick rate"
    assert code == 0
    assert "agree on axes" in " ".join(capsys.readouterr().out.split())


def test_each_thing_that_is_wrong_has_a_line_and_the_exit_code_is_1(
    bundle: Path, tmp_path: Path, capsys: Captured
) -> None:
    config = read_description(write_robot(tmp_path)).firmware_config()
    (bundle.parent / "damaged.hyt").mkdir(exist_ok=True)
    with FirmwareProcess(config, lockstep=False) as firmware:
        text = gantry_text(firmware.port).replace("high = 0.5", "high = 0.4", 1).replace("images:frames", "images:no")
        write_robot(tmp_path, text.replace('frame = "world"', 'frame = "joint"', 1))
        damaged = str(bundle.parent / "damaged.hyt")
        code, found = doctor(tmp_path, damaged, "--robot", str(tmp_path / "robot.toml"))
        assert code == 1
        assert {subject for subject, finding in found.items() if finding["level"] == "wrong"} == {
            "bundle",
            "camera corner2",
            "firmware",
        }
        assert "axes.0.high" in found["firmware"]["found"]
        code, found = doctor(tmp_path, str(bundle), "--robot", str(tmp_path / "robot.toml"))
        assert "frame 'world'" in found["policy and robot"]["found"]
        assert found["policy and robot"]["remedy"].startswith("name a kinematics adapter")
    assert capsys.readouterr().err.splitlines()[-1].endswith("findings are wrong; see the table")


def test_a_wire_that_damages_frames_is_wrong(tmp_path: Path) -> None:
    config = read_description(write_robot(tmp_path)).firmware_config()
    with (
        FirmwareProcess(config, lockstep=False) as firmware,
        Proxy(firmware.port, seed=4, damage=0.2, faults=("flip",)) as wire,
    ):
        code, found = doctor(tmp_path, "--port", wire.near)
    assert code == 1
    assert found["wire"]["level"] == "wrong"
    assert "frames damaged or lost in 20 questions" in found["wire"]["found"]


def test_a_missing_port_is_wrong_and_is_not_asked(tmp_path: Path) -> None:
    for name in ("/dev/ttyUSB97", "by-id:no such adapter"):
        code, found = doctor(tmp_path, "--port", name)
        assert code == 1
        assert found["port"]["level"] == "wrong"
        assert "firmware" not in found


def test_a_governor_that_saves_power_and_a_busy_computer_are_advice(tmp_path: Path) -> None:
    cpu = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    cpu.mkdir(parents=True)
    (cpu / "scaling_governor").write_text("powersave\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/loadavg").write_text("900.00 2.0 3.0 1/2 3\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 100000 kB\n")
    levels = {finding.subject: finding.level for finding in check_computer(tmp_path)}
    assert levels == {"clock governor": "advice", "cores": "advice", "memory": "wrong"}
    (cpu / "scaling_governor").write_text("performance\n")
    (tmp_path / "proc/loadavg").write_text("0.00 2.0 3.0 1/2 3\n")
    (tmp_path / "proc/meminfo").write_text("MemAvailable: 4000000 kB\n")
    assert {finding.level for finding in check_computer(tmp_path)} == {"good"}
