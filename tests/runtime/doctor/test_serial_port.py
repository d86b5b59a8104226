"""The doctor's look at a port, on folders that show what a system with that trouble shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hyt.runtime.doctor.serial_port import check_port


def levels(device: str, root: Path) -> dict[str, str]:
    return {finding.subject: finding.level for finding in check_port(device, root)}


def put(root: Path, path: str, text: str = "") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    (finding,) = check_port("/dev/ttyUSB0", tmp_path)
    assert (finding.level, finding.found) == ("wrong", "/dev/ttyUSB0 is not there")


def test_an_ftdi_adapter_as_it_comes(tmp_path: Path) -> None:
    port = put(tmp_path, "dev/ttyUSB0")
    put(tmp_path, "sys/class/tty/ttyUSB0/device/latency_timer", "16\n")
    put(tmp_path, "proc/77/comm", "ModemManager\n")
    (tmp_path / "dev/serial/by-id").mkdir(parents=True)
    (tmp_path / "dev/serial/by-id/usb-FTDI_X-port0").symlink_to(port)
    found = {finding.subject: finding for finding in check_port("/dev/ttyUSB0", tmp_path)}
    assert found["name"].level == "advice"
    assert found["name"].remedy == "name it /dev/serial/by-id/usb-FTDI_X-port0"
    assert found["latency timer"].level == "advice"
    assert "16 ms" in found["latency timer"].found
    assert found["ModemManager"].level == "wrong"
    assert "docs/udev/60-hyt-serial.rules" in found["ModemManager"].remedy


def test_the_same_adapter_with_the_udev_rule(tmp_path: Path) -> None:
    port = put(tmp_path, "dev/ttyUSB0")
    put(tmp_path, "sys/class/tty/ttyUSB0/device/latency_timer", "1\n")
    put(tmp_path, "proc/77/comm", "ModemManager\n")
    device = port.stat().st_rdev
    put(tmp_path, f"run/udev/data/c{os.major(device)}:{os.minor(device)}", "E:ID_MM_PORT_IGNORE=1\n")
    (tmp_path / "dev/serial/by-id").mkdir(parents=True)
    (tmp_path / "dev/serial/by-id/usb-FTDI_X-port0").symlink_to(port)
    found = levels("/dev/serial/by-id/usb-FTDI_X-port0", tmp_path)
    assert set(found.values()) == {"good"}
    assert {"port", "permission", "name", "latency timer", "ModemManager"} == set(found)


def test_a_jetsons_uart_with_a_login_and_a_console_on_it(tmp_path: Path) -> None:
    put(tmp_path, "dev/ttyTHS1")
    put(tmp_path, "etc/systemd/system/multi-user.target.wants/nvgetty.service")
    put(tmp_path, "proc/consoles", "ttyTHS1              -W- (EC   a)    4:64\n")
    found = levels("/dev/ttyTHS1", tmp_path)
    assert (found["login on the UART"], found["kernel console"]) == ("wrong", "wrong")
    (tmp_path / "etc/systemd/system/multi-user.target.wants/nvgetty.service").unlink()
    put(tmp_path, "proc/consoles", "tty0                 -WU (E  p  )    4:1\n")
    assert "wrong" not in levels("/dev/ttyTHS1", tmp_path).values()


def test_a_port_that_another_program_has_open_is_told_with_its_process(tmp_path: Path) -> None:
    port = put(tmp_path, "dev/ttyS0")
    (tmp_path / "proc/4242/fd").mkdir(parents=True)
    (tmp_path / "proc/4242/fd/3").symlink_to(port)
    found = {finding.subject: finding for finding in check_port("/dev/ttyS0", tmp_path)}
    assert (found["in use"].level, found["in use"].found) == ("wrong", "process 4242 has it open")


def test_a_port_without_rights_names_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "dev/ttyACM0")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may open everything, so the system cannot be asked
    (finding,) = [finding for finding in check_port("/dev/ttyACM0", tmp_path) if finding.subject == "permission"]
    assert finding.level == "wrong"
    assert finding.remedy.startswith("`sudo usermod -aG ")
