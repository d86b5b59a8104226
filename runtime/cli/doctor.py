"""hyt-run doctor: is this computer, port, robot and policy fit to drive? Says what is wrong, and what to do about it.

It arms nothing. With --port or --robot it opens a session: a firmware that is armed stops.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hyt.errors import HytError, InputError
from hyt.firmware_bridge.device import by_id
from hyt.runtime.cli.loading import add_signature_option
from hyt.runtime.cli.output import check_output, machine, versions, write_json
from hyt.runtime.doctor.computer import check_computer
from hyt.runtime.doctor.devices import check_devices
from hyt.runtime.doctor.finding import Finding
from hyt.runtime.doctor.real_time import check_real_time
from hyt.runtime.doctor.robot import check_bundle, check_description, check_firmware_on
from hyt.runtime.doctor.serial_port import check_port

STYLES = {"good": "green", "advice": "yellow", "wrong": "bold red"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("doctor", help="check computer, port, robot and bundle; exit code 1 if one is wrong")
    parser.add_argument("bundle", nargs="?", type=Path, metavar="NAME.hyt", help="a policy to check too")
    parser.add_argument("--port", help="a serial port, by-id:TEXT or tcp://HOST:PORT; default: that of --robot")
    parser.add_argument("--baudrate", type=int, default=None, help="default: that of --robot, or 115200")
    parser.add_argument("--robot", type=Path, metavar="robot.toml", help="its description, cameras and firmware too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings; one that is there is replaced")
    add_signature_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Look at everything that was named, print a table; raises HytError (exit code 1) when something is wrong."""
    check_output(options.json)
    if options.baudrate is not None and options.baudrate < 1:
        raise InputError("--baudrate", expected="at least 1", received=str(options.baudrate))
    findings = [*check_computer(), *check_devices(), *check_real_time()]
    bundle = check_bundle(options.bundle, findings, options.require_signature) if options.bundle is not None else None
    robot = check_description(options.robot, bundle, findings) if options.robot is not None else None
    device = options.port or (robot.port.device if robot is not None else None)
    if device is not None and device != "virtual:":
        before = len(findings)
        findings += _port(device)
        # A port that is wrong already would only say so again.
        if all(finding.level != "wrong" for finding in findings[before:]):
            baudrate = options.baudrate or (robot.port.baudrate if robot is not None else 115200)
            check_firmware_on(device, baudrate, robot, findings)
    Console(highlight=False).print(_table(findings))
    wrong = sum(finding.level == "wrong" for finding in findings)
    if options.json is not None:
        report = {"command": "doctor", "findings": [asdict(finding) for finding in findings]}
        write_json(options.json, {**report, "versions": versions(), "machine": machine()})
    if wrong:
        raise HytError("doctor", received=f"{wrong} of {len(findings)} findings are wrong", remedy="see the table")


def _port(device: str) -> list[Finding]:
    if device.startswith("tcp:"):
        return []
    try:
        return check_port(str(by_id(device)) if device.startswith("by-id:") else device)
    except HytError as problem:
        return [Finding("port", "wrong", f"{problem.subject}; received {problem.received}", problem.remedy)]


def _table(findings: list[Finding]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("found", overflow="fold")
    table.add_column("do", overflow="fold")
    for finding in findings:
        level = Text(finding.level, style=STYLES[finding.level])
        table.add_row(level, Text(finding.subject), Text(finding.found), Text(finding.remedy))
    return table
