"""The terminal line: reads what a user types while the robot moves, in a thread of its own."""

from __future__ import annotations

import codecs
import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from rich.text import Text

from hyt.runtime.controls import Controls
from hyt.runtime.view.commands import HELP, obey
from hyt.runtime.view.line_editor import ESCAPE, LineEditor

_KEY = 0.05  # seconds in which the characters of one key arrive


class PromptLine:
    """Obeys the lines typed on the terminal `descriptor` as long as its block runs.

    With `live` the terminal's own echo is off, `render` is the line as it stands and Escape stops; without, lines are
    typed as ever, and what became of each goes to `say`.
    """

    def __init__(self, controls: Controls, descriptor: int, *, live: bool, say: Callable[[str], None]) -> None:
        self._controls, self._descriptor, self._live, self._say = controls, descriptor, live, say
        self._editor = LineEditor()
        self._reply = HELP
        self._settings: list[Any] = []
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._read, name="hyt terminal line", daemon=True)

    def __enter__(self) -> PromptLine:
        if self._live:
            self._settings = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor, termios.TCSANOW)  # Ctrl-C still interrupts
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._waker)
        self._thread.join()
        os.close(self._wake)
        if self._live:
            with suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._settings)

    def render(self) -> Text:
        """The line as it stands, and what became of the last one."""
        line = Text("> ", "bold cyan")
        line.append(self._editor.text, "default")
        return line.append("▌", "cyan").append(f"  {self._reply}", "dim")

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        while True:
            ready, _, _ = select.select([self._descriptor, self._wake], [], [])
            if self._wake in ready:
                return
            try:
                keys = os.read(self._descriptor, 1024)
                while keys.endswith(ESCAPE.encode()) and select.select([self._descriptor], [], [], _KEY)[0]:
                    more = os.read(self._descriptor, 1024)
                    keys += more
                    if not more:
                        break
            except OSError:  # the terminal is gone
                return
            if not keys:
                return
            for line in self._editor.feed(decoder.decode(keys)):
                self._reply = obey(line, self._controls)
                self._say(self._reply)


def terminal_descriptor() -> int | None:
    """The terminal that a user types on, if there is one and this process may read it (it is not in the background)."""
    try:
        descriptor = sys.stdin.fileno()
        in_front = os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except (OSError, ValueError, AttributeError):  # no standard input, or one that is no file
        return None
    return descriptor if in_front else None
