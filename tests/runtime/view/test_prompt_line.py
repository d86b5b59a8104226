"""Tests of the terminal line (hyt.runtime.view.commands, .line_editor, .prompt_line): what is typed reaches a run."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hyt.errors import LinkError
from hyt.runtime.controls import Controls
from hyt.runtime.view.commands import HELP, obey
from hyt.runtime.view.line_editor import LONGEST, LineEditor
from hyt.runtime.view.prompt_line import PromptLine


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("follow move up", "move up"),
        ("  move up ", "move up"),
        ("think then move up", "think then move up"),
        ("follow stop there", "stop there"),
    ],
)
def test_a_text_is_followed_with_or_without_the_word(line: str, text: str) -> None:
    controls = Controls()
    assert obey(line, controls) == f"follows {text!r}"
    assert controls.text == text


def test_one_word_goes_back_thinks_or_helps() -> None:
    controls = Controls()
    controls.follow("move up")
    assert obey("back", controls) == "back to the instruction"
    assert controls.text is None
    assert obey("think", controls) == "asked for a thought"
    assert controls.take_think()
    assert obey("", controls) == obey("help", controls) == HELP
    assert obey("follow", controls).startswith("follow; expected a sub-instruction")


@pytest.mark.parametrize("line", ["stop", "STOP!", "stop now", " Stop."])
def test_whatever_begins_with_stop_stops(line: str) -> None:
    controls = Controls()
    assert obey(line, controls) == "stopped"
    assert controls.stopped


def test_a_stop_that_the_firmware_does_not_confirm_says_so() -> None:
    def fails() -> None:
        raise LinkError("link to /dev/ttyACM0", received="no answer to STOP")

    controls = Controls()
    controls.stop = fails  # type: ignore[method-assign]
    assert obey("stop", controls) == "link to /dev/ttyACM0; received no answer to STOP"


def test_keys_edit_a_line() -> None:
    editor = LineEditor()
    assert editor.feed("moov\x7f\x7fve up") == []
    assert editor.text == "move up"
    assert editor.feed("\x15go\rnext") == ["go"]
    assert editor.text == "next"
    editor.feed("x" * 2 * LONGEST)
    assert len(editor.text) == LONGEST


def test_escape_alone_stops_and_cursor_keys_are_nothing() -> None:
    editor = LineEditor()
    assert editor.feed("a\x1b[Ab\x1b[1;5Cc\x1bOPd") == []
    assert editor.text == "abcd"
    assert editor.feed("\x1b") == ["stop"]
    assert editor.feed("\x1bx") == ["stop"]
    assert editor.text == "abcdx"


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The user's end and the program's end of a terminal."""
    user, program = pty.openpty()
    yield user, program
    os.close(user)
    os.close(program)


def test_a_live_line_shows_what_is_typed_obeys_it_and_gives_the_terminal_back(terminal: tuple[int, int]) -> None:
    user, program = terminal
    before = termios.tcgetattr(program)
    controls = Controls()
    with PromptLine(controls, program, live=True, say=lambda reply: None) as line:
        assert not termios.tcgetattr(program)[3] & termios.ECHO
        os.write(user, "move \u00e9up".encode())
        until(lambda: "> move \u00e9up▌" in line.render().plain)
        os.write(user, b"\x15move up\r")
        until(lambda: controls.text == "move up")
        os.write(user, b"back\r")
        until(lambda: controls.text is None)
        until(lambda: "back to the instruction" in line.render().plain)
        os.write(user, b"\x1b")
        until(lambda: controls.stopped)
    assert termios.tcgetattr(program) == before
    assert all(thread.name != "hyt terminal line" for thread in threading.enumerate())


def test_a_line_without_a_live_view_leaves_the_terminal_as_it_is_and_says_what_became_of_it(
    terminal: tuple[int, int],
) -> None:
    user, program = terminal
    before = termios.tcgetattr(program)
    controls, said = Controls(), list[str]()
    with PromptLine(controls, program, live=False, say=said.append):
        assert termios.tcgetattr(program) == before
        os.write(user, b"move up\nback\n")
        until(lambda: len(said) == 2)
    assert said == ["follows 'move up'", "back to the instruction"]


def test_a_process_without_a_terminal_or_behind_another_reads_none() -> None:
    program = "from hyt.runtime.view.prompt_line import terminal_descriptor as t; print(t())"
    piped = subprocess.run([sys.executable, "-c", program], input="", capture_output=True, text=True, check=True)
    assert piped.stdout == "None\n"
    user, terminal = pty.openpty()
    # A terminal that is not this session's own: reading it would stop the process.
    behind = subprocess.run([sys.executable, "-c", program], stdin=terminal, capture_output=True, text=True, check=True)
    assert behind.stdout == "None\n"
    os.close(user)
    os.close(terminal)
