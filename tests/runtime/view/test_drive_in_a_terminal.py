"""`hyt-run drive` in a terminal of its own: it draws, obeys what is typed, and leaves the terminal as it was."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import termios
import time
from pathlib import Path

import pytest

from hyt.errors import StoppedError
from hyt.export.exporter import export_bundle

POLICY = Path(__file__).parents[3] / "policies" / "metaworld-arm"
PATIENCE = 60


class Terminal:
    """A terminal with a program in it."""

    def __init__(self, *command: str) -> None:
        self.shown = ""
        self.process, self.user = pty.fork()
        if self.process == 0:
            os.environ |= {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
            os.execv(sys.executable, [sys.executable, *command])
        self.before = termios.tcgetattr(self.user)

    def shows(self, pattern: str) -> None:
        """Reads until what has been shown since the last call matches."""
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self.shown)) is None:
            assert time.monotonic() < deadline, f"{pattern} in {self.shown[-2000:]!r}"
            if select.select([self.user], [], [], 1)[0]:
                self.shown += os.read(self.user, 65536).decode(errors="replace")
        self.shown = self.shown[found.end() :]

    def types(self, keys: str) -> None:
        os.write(self.user, keys.encode())

    def ended(self) -> int:
        """Exit code, with all that it has still shown read."""
        try:
            while part := os.read(self.user, 65536):
                self.shown += part.decode(errors="replace")
        except OSError:  # a terminal's way to say that its program has left
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shipped") / "arm.hyt"
    export_bundle(POLICY, path, threads=1)
    return path


def test_a_text_is_followed_taken_back_and_the_run_stopped_from_the_terminal(bundle: Path) -> None:
    drive = ("drive", str(bundle), "--robot", "sim:metaworld/drawer-open-v3", "--episodes", "1000", "--threads", "1")
    terminal = Terminal("-m", "hyt.runtime.cli", *drive, "--think", "every=2")
    terminal.shows("open the drawer")
    terminal.shows("plan reach")
    terminal.shows("▀")
    assert not termios.tcgetattr(terminal.user)[3] & termios.ECHO
    terminal.types("fly away\r")
    terminal.shows("expected words the policy's tokenizer knows")
    terminal.types("subtask lower move down\r")
    terminal.shows("following")
    terminal.types("back\r")
    terminal.shows("back to the instruction")
    terminal.types("stop\r")
    assert terminal.ended() == StoppedError.exit_code
    assert "received a stop from the user" in terminal.shown
    assert terminal.shown.rpartition("\x1b[?25")[2].startswith("h")  # the cursor is shown again
