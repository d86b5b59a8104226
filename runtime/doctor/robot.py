"""Looks at what must fit together: the bundle, the robot.toml, its cameras, and the firmware behind the port."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from hyt.errors import HytError
from hyt.firmware_bridge import Link
from hyt.runtime.bundle import Bundle, open_bundle
from hyt.runtime.cameras import CameraTable, open_camera
from hyt.runtime.doctor.finding import Finding
from hyt.runtime.serial_robot.description import Description, read_description
from hyt.runtime.serial_robot.fit import check_contract, check_firmware

PINGS = 20
SLOW = 0.010  # seconds

T = TypeVar("T")


def check_bundle(path: Path, findings: list[Finding], public_key: Path | None = None) -> Bundle | None:
    """The bundle when every file of it is as it was exported, and signed by `public_key` where one is named."""
    bundle = _tried("bundle", findings, lambda: open_bundle(path, require_signature=public_key))
    if bundle is not None:
        signed = "" if bundle.signer is None else f", signed by {bundle.signer}"
        findings.append(Finding("bundle", "good", f"{bundle.manifest.name}, every file checked{signed}"))
    return bundle


def check_description(path: Path, bundle: Bundle | None, findings: list[Finding]) -> Description | None:
    """The robot.toml when it is one, held against the bundle if there is one, each camera asked for an image."""
    robot = _tried("robot.toml", findings, lambda: read_description(path))
    if robot is None:
        return None
    findings.append(Finding("robot.toml", "good", f"{robot.robot.name}, {len(robot.axes)} axes"))
    if bundle is not None:
        count = len(findings)
        _tried("policy and robot", findings, lambda: check_contract(robot, bundle.contract))
        if len(findings) == count:
            findings.append(Finding("policy and robot", "good", "fit together"))
    for table in robot.cameras:
        _tried(f"camera {table.name}", findings, partial(_look, table, path.parent, findings))
    return robot


def check_firmware_on(device: str, baudrate: int, robot: Description | None, findings: list[Finding]) -> None:
    """Opens a session (an armed firmware stops), times round trips, and holds the firmware against robot.toml."""
    _tried("firmware", findings, lambda: _ask(device, baudrate, robot, findings))


def _look(table: CameraTable, folder: Path, findings: list[Finding]) -> None:
    camera = open_camera(table, folder)
    try:
        frame = camera.frame()
        height, width, _ = frame.image.shape
        age = f"{(time.monotonic() - frame.taken) * 1e3:.0f} ms old"
        findings.append(Finding(f"camera {table.name}", "good", f"{width} x {height} from {table.source}, {age}"))
    finally:
        camera.close()


def _ask(device: str, baudrate: int, robot: Description | None, findings: list[Finding]) -> None:
    with Link(device, baudrate=baudrate) as link:
        before = link.telemetry().counters
        for _ in range(PINGS):
            after = link.telemetry().counters
        info, seen = link.info, link.statistics
        where = f"{info.port}, {info.tick_hz} Hz, schema {info.schema:08x}, {baudrate} baud"
        findings.append(Finding("firmware", "good", where))
        damaged = seen.bad_crc + seen.bad_framing + seen.lost
        damaged += sum(after[name] - before[name] for name in ("bad_crc", "bad_framing", "receive_errors"))
        if damaged:
            remedy = "check the cable, its ground and length; take 2 stop bits or a lower rate above 115200 baud"
            findings.append(Finding("wire", "wrong", f"{damaged} frames damaged or lost in {PINGS} questions", remedy))
        elif seen.resent:
            found = f"{seen.resent} of {PINGS} questions asked again: lost, or answered late"
            findings.append(
                Finding("wire", "advice", found, "ask again while the computer is idle, then check the cable")
            )
        milliseconds = seen.round_trip_median * 1e3
        if seen.round_trip_median > SLOW:
            remedy = "see the latency timer, or take a higher baud rate"
            findings.append(Finding("round trip", "advice", f"{milliseconds:.1f} ms", remedy))
        else:
            findings.append(Finding("round trip", "good", f"{milliseconds:.2f} ms"))
        if robot is not None:
            check_firmware(robot, info)
            findings.append(Finding("firmware and robot", "good", "agree on axes, limits and tick rate"))


def _tried(subject: str, findings: list[Finding], action: Callable[[], T]) -> T | None:
    try:
        return action()
    except HytError as problem:
        said = [problem.subject]
        said += [f"expected {problem.expected}"] if problem.expected else []
        said += [f"received {problem.received}"] if problem.received else []
        findings.append(Finding(subject, "wrong", " ".join("; ".join(said).split()), problem.remedy))
        return None
