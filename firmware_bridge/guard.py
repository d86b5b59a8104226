"""Guard: a program that we started ends when this process does, even by kill -9."""

from __future__ import annotations

import subprocess


class Guard:
    """Watches over the program `pid` until `dismiss`; raises OSError when it cannot be started.

    It is a shell that reads a pipe of which this process holds the other end: the pipe's end is this process' end.
    """

    # Not PR_SET_PDEATHSIG: that signal comes at the end of the thread that started the program, not of the process.
    _SCRIPT = 'read -r word || kill -9 "$1"'

    def __init__(self, pid: int) -> None:
        # A session of its own: a Ctrl-C that this process survives must not leave the program unguarded.
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", self._SCRIPT, "hyt-guard", str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Leaves the program alone from here on. Call it before the program is waited for: its pid is free then."""
        self._shell.communicate(b"dismissed\n")
