"""What the system does to a drive (signals, a closed terminal, a full disk) ends it with an arm that brakes to rest."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from drives import Gantry

from hyt.firmware_bridge import State
from hyt.runtime.cli import main
from hyt.runtime.record.recording import Recording


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "hyt-run: interrupted"),
        (signal.SIGTERM, "hyt-run: ended by SIGTERM"),
        (signal.SIGHUP, "hyt-run: ended by SIGHUP"),
    ],
)
def test_a_signal_ends_the_drive_with_128_and_its_number(
    arm_bundle: Path, slow_gantry: Callable[..., Gantry], number: signal.Signals, said: str
) -> None:
    arm = slow_gantry()
    command = [sys.executable, "-m", "hyt.runtime.cli", *arm.command(arm_bundle)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        arm.wait_until_under_way()
        process.send_signal(number)
        time.sleep(0.001)
        process.send_signal(number)  # of somebody impatient: it must not cut the disarming off
        assert process.stderr is not None
        assert process.stderr.read() == f"{said}\n"
        assert process.wait() == 128 + number
    assert arm.came_to_rest() is State.DISARMED


BUSY = """
import hashlib, sys
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.cli import main
act, count = CoreBackend.act, iter(range(10**6))
def long(backend, tag):
    if next(count) == 15:
        print("busy", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", int(sys.argv[1]))  # one call that nothing interrupts, as the core's are
    return act(backend, tag)
CoreBackend.act = long
sys.exit(main(sys.argv[2:]))
"""


def test_a_signal_in_the_middle_of_a_long_answer_disarms_before_the_answer_is_complete(
    arm_bundle: Path, slow_gantry: Callable[..., Gantry]
) -> None:
    arm = slow_gantry()
    command = [sys.executable, "-c", BUSY, str(20_000_000), *arm.command(arm_bundle)]  # some four seconds
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "busy\n"
        time.sleep(0.2)  # until the call that nothing interrupts has begun
        process.send_signal(signal.SIGTERM)
        assert arm.came_to_rest() is State.DISARMED
        assert process.poll() is None  # it still answers
        assert process.stderr.read() == "hyt-run: ended by SIGTERM\n"
        assert process.wait() == 128 + signal.SIGTERM


def test_a_terminal_that_is_closed_ends_the_drive_as_its_signal_does(
    arm_bundle: Path, slow_gantry: Callable[..., Gantry]
) -> None:
    arm = slow_gantry()
    command = [argument for argument in arm.command(arm_bundle) if argument != "--no-view"]
    terminal, line = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hyt.runtime.cli", *command],
        stdin=line,
        stdout=line,
        stderr=line,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(line)
    under_way = arm.when_under_way(lambda: None)
    while under_way.is_alive():
        os.read(terminal, 65536)  # or the view would wait for its reader
    os.close(terminal)
    assert process.wait(20) == 128 + signal.SIGHUP
    assert arm.came_to_rest() is State.DISARMED


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))  # as far as a file may grow: a disk that is full then
from hyt.runtime.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_disk_that_is_full_while_recording_ends_the_drive_with_13(
    arm_bundle: Path, slow_gantry: Callable[..., Gantry], tmp_path: Path
) -> None:
    arm, folder = slow_gantry(), tmp_path / "run"
    command = [sys.executable, "-c", FULL, *arm.command(arm_bundle), "--record", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 13
    path = folder / "episode-0001.unfinished.mcap"
    assert done.stderr == (
        f"hyt-run: recording {path}; expected room to write; received File too large; "
        "make room; what was written until then can be replayed\n"
    )
    assert arm.came_to_rest() is State.DISARMED
    assert main(["replay", str(path)]) == 0
    assert len(list(Recording(path).steps())) > 20
