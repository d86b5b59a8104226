"""All that shows a drive to a person and takes what they say: the terminal's view, its line, and the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import TracebackType

from rich.console import Console

from hyt.runtime.controls import Controls
from hyt.runtime.interpreter import WATCHED, short_turns
from hyt.runtime.listener import Listener
from hyt.runtime.robot import Robot
from hyt.runtime.view.plain import PlainLines
from hyt.runtime.view.prompt_line import PromptLine, terminal_descriptor
from hyt.runtime.view.state import RunState
from hyt.runtime.view.terminal import TerminalView
from hyt.runtime.view.web import Address, WebView


class Watching:
    """A context manager around a whole run; `page` is where to serve the page, None for none.

    `controls` take what the user says there. Raises InputError for an address that is taken.
    """

    def __init__(self, console: Console, controls: Controls, *, live: bool, page: Address | None) -> None:
        self._console, self.controls = console, controls
        self._state = RunState()
        self._live = live and console.is_terminal
        self._page = None if page is None else WebView(page, self._state, controls)
        self._short_turns = short_turns(WATCHED) if self._live or page is not None else nullcontext()

    def __enter__(self) -> Watching:
        self._short_turns.__enter__()
        if self._page is not None:
            self._page.__enter__()
            self._say(f"view: {self._page.url}")
            if not self._page.is_local:
                self._say(
                    "view: whoever has this address sees the cameras and can steer and stop the robot; "
                    "the connection is not encrypted"
                )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.over("done" if value is None else str(value) or "interrupted")
        if self._page is not None:
            self._page.__exit__(kind, value, trace)
        self._short_turns.__exit__(None, None, None)

    @contextmanager
    def robot(self, robot: Robot, *, modality: str, episodes: int) -> Iterator[list[Listener]]:
        """Shows this robot in the block; yields who is to listen to its episodes."""
        self._state.robot_opened(robot.name, modality=modality, episodes=episodes, counters=robot.counters)
        listeners: list[Listener] = [self._state]
        with ExitStack() as stack:
            line = None
            if (descriptor := terminal_descriptor()) is not None:
                say = (lambda reply: None) if self._live else self._say
                line = stack.enter_context(PromptLine(self.controls, descriptor, live=self._live, say=say))
            if self._live:
                stack.enter_context(TerminalView(self._console, self._state, self.controls, line))
            else:
                listeners.append(PlainLines(self._console, robot, modality=modality, episodes=episodes))
            yield listeners

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()  # whoever waits for the address reads it from a pipe
