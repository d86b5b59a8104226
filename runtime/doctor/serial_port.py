"""Looks at a serial port as the operating system shows it, without opening it: name, rights, driver, disturbers."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hyt.runtime.doctor.finding import Finding

ROOT = Path("/")
RULE = "install docs/udev/60-hyt-serial.rules"


def check_port(device: str, root: Path = ROOT) -> list[Finding]:
    """Findings on the serial port at path `device`; `root` is where /dev, /sys, /proc, /run and /etc are found."""
    path = root / device.lstrip("/")
    if not path.exists():
        return [Finding("port", "wrong", f"{device} is not there", "plug it in; `ls /dev/serial/by-id` lists ports")]
    name = path.resolve().name
    findings = [Finding("port", "good", device if name == path.name else f"{device} is {name}")]
    findings += _rights(path)
    findings += _stable_name(device, path, root)
    findings += _latency_timer(name, root)
    findings += _modem_manager(path, name, root)
    findings += _console(name, root)
    findings += _owners(path, root)
    return findings


def _rights(path: Path) -> Iterator[Finding]:
    status = path.stat()
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    if os.access(path, os.R_OK | os.W_OK):
        yield Finding("permission", "good", "may be read and written")
    else:
        remedy = f"`sudo usermod -aG {group} $USER`, then log in again"
        yield Finding("permission", "wrong", f"group {group}, {stat.filemode(status.st_mode)}: not for you", remedy)


def _stable_name(device: str, path: Path, root: Path) -> Iterator[Finding]:
    if not path.resolve().name.startswith(("ttyUSB", "ttyACM")):
        return
    if "/serial/by-" in device:
        yield Finding("name", "good", "stays the same when other ports are plugged in")
        return
    links = [p for p in sorted((root / "dev/serial/by-id").glob("*")) if p.resolve() == path.resolve()]
    remedy = f"name it /dev/serial/by-id/{links[0].name}" if links else "name it by a udev rule"
    yield Finding("name", "advice", f"{device} may be another device after the next plugging", remedy)


def _latency_timer(name: str, root: Path) -> Iterator[Finding]:
    with suppress(OSError, ValueError):
        timer = int((root / "sys/class/tty" / name / "device/latency_timer").read_text())
        if timer > 1:
            yield Finding("latency timer", "advice", f"answers wait up to {timer} ms in the adapter", f"{RULE} (1 ms)")
        else:
            yield Finding("latency timer", "good", f"{timer} ms")


def _modem_manager(path: Path, name: str, root: Path) -> Iterator[Finding]:
    if not name.startswith(("ttyUSB", "ttyACM")):
        return
    if "ModemManager" not in set(_programs(root)):
        yield Finding("ModemManager", "good", "does not run")
        return
    device = path.stat().st_rdev
    with suppress(OSError):
        text = (root / f"run/udev/data/c{os.major(device)}:{os.minor(device)}").read_text()
        if "ID_MM_DEVICE_IGNORE=1" in text or "ID_MM_PORT_IGNORE=1" in text:
            yield Finding("ModemManager", "good", "runs and leaves this port alone")
            return
    yield Finding("ModemManager", "wrong", "runs and talks to each new port as to a modem", RULE)


def _console(name: str, root: Path) -> Iterator[Finding]:
    if not name.startswith(("ttyTHS", "ttyS", "ttyAMA", "ttyTCU")):
        return
    wants = root / "etc/systemd/system/multi-user.target.wants"
    if (wants / "nvgetty.service").is_symlink() or (wants / "nvgetty.service").exists():
        remedy = "`sudo systemctl disable --now nvgetty`, then reboot"
        yield Finding("login on the UART", "wrong", "nvgetty is enabled and answers what arrives", remedy)
    with suppress(OSError):
        if any(line.split()[0] == name for line in (root / "proc/consoles").read_text().splitlines() if line.strip()):
            yield Finding(
                "kernel console", "wrong", f"the kernel writes to {name}", f"take console={name} from the boot line"
            )


def _owners(path: Path, root: Path) -> Iterator[Finding]:
    real, owners = str(path.resolve()), set()
    if "/pts/" in real:
        return  # the program behind a pseudo-terminal has both its ends open
    for link in (root / "proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(link) == real:
                owners.add(int(link.parts[-3]))
    owners.discard(os.getpid())
    if owners:
        pids = ", ".join(map(str, sorted(owners)))
        yield Finding("in use", "wrong", f"process {pids} has it open", f"end it; `fuser -v {path}` names it")


def _programs(root: Path) -> Iterator[str]:
    for path in (root / "proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            yield path.read_text().strip()
