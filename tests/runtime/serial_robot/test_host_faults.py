"""A camera, a state, a policy or a signal ends a drive: one line, its exit code, and an arm that brakes to rest."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drives import Gantry
from pipe_camera import PipeCamera
from robots import POLICY

import hyt
from hyt.export.exporter import export_bundle
from hyt.firmware_bridge import State
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.cli import main
from hyt.runtime.listener import Decision, Listener
from hyt.runtime.loop import run_episode
from hyt.runtime.record.recording import Recording
from hyt.runtime.serial_robot import SerialRobot

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "arm.hyt"
    export_bundle(POLICY, path, threads=1)
    return path


@pytest.fixture
def gantry(tmp_path: Path) -> Iterator[Callable[..., Gantry]]:
    """Starts the slow gantry of drives.py in tmp_path."""
    started: list[Gantry] = []

    def start(*arguments: str) -> Gantry:
        started.append(Gantry(tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.mark.parametrize(
    ("fault", "keys", "said"),
    [
        ("unplug", "", "expected an image; received none any more: it was unplugged, or its stream has ended"),
        ("stall", "max_age = 1.0", "expected an image of at most 1 s of age; received one of 1."),
        ("freeze", "frozen_after = 1.0", "expected a picture that changes within 1 s; received the same pixels for 1."),
    ],
)
def test_a_camera_that_fails_ends_the_drive_with_10(
    bundle: Path, gantry: Callable[..., Gantry], tmp_path: Path, capsys: Captured, fault: str, keys: str, said: str
) -> None:
    camera = PipeCamera(tmp_path / "camera.y4m")
    arm = gantry("video:camera.y4m", f"{keys or 'max_age = 10.0'}\n")
    doing = arm.when_under_way(getattr(camera, fault))
    assert main(arm.command(bundle)) == 10
    doing.join()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hyt-run: camera 'corner2'; {said}")
    assert arm.came_to_rest() is State.DISARMED
    camera.unplug()


def test_each_decision_says_how_old_its_images_were(
    bundle: Path, gantry: Callable[..., Gantry], tmp_path: Path
) -> None:
    class Ages(Listener):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def decided(self, decision: Decision) -> None:
            assert set(decision.frame_ages) == {"corner2"}
            self.seen.append(decision.frame_ages["corner2"])

    camera, ages = PipeCamera(tmp_path / "camera.y4m", rate=1.0), Ages()
    arm = gantry("video:camera.y4m", "max_age = 10.0\n")
    with hyt.load(bundle, threads=1) as policy, closing(SerialRobot(arm.robot, policy.contract)) as robot:
        run_episode(policy, robot, instruction="open the drawer", max_decisions=16, listeners=[ages])
    # A decision comes each 62.5 ms, an image each second: most looks find the one before, and it is older.
    assert len(ages.seen) == 16
    assert min(ages.seen) >= 0
    assert max(ages.seen) > 0.05
    assert sum(later > earlier for earlier, later in pairwise(ages.seen)) >= 4
    camera.unplug()


ADAPTER = """
import numpy as np
calls = 0
def state(positions):
    global calls
    calls += 1
    if calls > 15:
        {fault}
    return np.array([positions[0], positions[1], positions[2], positions[3] * 0.5 + 0.5])
"""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("return np.full(4, np.nan)", "expected finite numbers of shape (4,); received NaN or infinity"),
        ("return 1 / 0", "expected an answer; received ZeroDivisionError: division by"),
    ],
)
def test_a_state_that_is_no_number_ends_the_drive_with_5(
    bundle: Path,
    gantry: Callable[..., Gantry],
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    said: str,
) -> None:
    module = f"adapter_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(ADAPTER.format(fault=fault))
    monkeypatch.syspath_prepend(str(tmp_path))
    arm = gantry("images:frames", f'\n[kinematics]\nstate = "{module}:state"\n')
    assert main(arm.command(bundle)) == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hyt-run: robot.toml: kinematics.state; {said}")
    assert arm.came_to_rest() is State.DISARMED


def after_some(monkeypatch: pytest.MonkeyPatch, then: Callable[[Any], Any]) -> None:
    """The core answers as it does, fifteen times, and then what `then` makes of it."""
    act, count = CoreBackend.act, iter(range(10**6))

    def broken(backend: CoreBackend, tag: int) -> Any:
        answer = act(backend, tag)
        return answer if next(count) < 15 else then(answer)

    monkeypatch.setattr(CoreBackend, "act", broken)


def test_a_policy_whose_probabilities_are_nan_ends_the_drive_with_12(
    bundle: Path, gantry: Callable[..., Gantry], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(answer: Any) -> Any:
        answer.probabilities[-1] = np.nan
        return answer

    after_some(monkeypatch, spoil)
    arm = gantry()
    assert main(arm.command(bundle)) == 12
    assert capsys.readouterr().err == (
        "hyt-run: action probabilities; expected finite numbers; received NaN or infinity; do not run this policy; "
        "export it again from a sound checkpoint\n"
    )
    assert arm.came_to_rest() is State.DISARMED


def test_even_a_bug_of_ours_leaves_a_disarmed_arm(
    bundle: Path, gantry: Callable[..., Gantry], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(answer: Any) -> Any:
        raise RuntimeError("a bug")

    after_some(monkeypatch, fail)
    arm = gantry()
    with pytest.raises(RuntimeError, match="a bug"):
        main(arm.command(bundle))
    assert arm.came_to_rest() is State.DISARMED


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "hyt-run: interrupted"),
        (signal.SIGTERM, "hyt-run: ended by SIGTERM"),
        (signal.SIGHUP, "hyt-run: ended by SIGHUP"),
    ],
)
def test_a_signal_ends_the_drive_with_128_and_its_number(
    bundle: Path, gantry: Callable[..., Gantry], number: signal.Signals, said: str
) -> None:
    arm = gantry()
    command = [sys.executable, "-m", "hyt.runtime.cli", *arm.command(bundle)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        arm.wait_until_under_way()
        process.send_signal(number)
        time.sleep(0.001)
        process.send_signal(number)  # of somebody impatient: it must not cut the disarming off
        assert process.stderr is not None
        assert process.stderr.read() == f"{said}\n"
        assert process.wait() == 128 + number
    assert arm.came_to_rest() is State.DISARMED


def test_a_terminal_that_is_closed_ends_the_drive_as_its_signal_does(
    bundle: Path, gantry: Callable[..., Gantry]
) -> None:
    arm = gantry()
    command = [argument for argument in arm.command(bundle) if argument != "--no-view"]
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
from hyt.runtime.listener import Decision, Listener
from hyt.runtime.loop import run_episode
from hyt.runtime.serial_robot import SerialRobot
sys.exit(main(sys.argv[1:]))
"""


def test_a_disk_that_is_full_while_recording_ends_the_drive_with_13(
    bundle: Path, gantry: Callable[..., Gantry], tmp_path: Path
) -> None:
    arm, folder = gantry(), tmp_path / "run"
    command = [sys.executable, "-c", FULL, *arm.command(bundle), "--record", str(folder)]
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
