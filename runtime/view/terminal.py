"""The live view of a run in the terminal."""

from __future__ import annotations

import math
import time
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hyt.runtime.controls import Controls
from hyt.runtime.listener import LimiterState, ThoughtProgress
from hyt.runtime.view.picture import Picture
from hyt.runtime.view.prompt_line import PromptLine
from hyt.runtime.view.state import Period, RunState, Snapshot
from hyt.runtime.view.words import describe_action, describe_latencies

_DRAWINGS = 8  # a second at most
_BARS = " ▁▂▃▄▅▆▇█"
_PICTURE = 32  # columns
_WIDE = 96  # columns from which on there is room for a picture


class TerminalView:
    """Draws the state of a run in a thread of its own until it is closed; a context manager.

    `line` is what is being typed below it; None where nothing can be.
    """

    def __init__(self, console: Console, state: RunState, controls: Controls, line: PromptLine | None = None) -> None:
        self._console, self._state, self._controls, self._line = console, state, controls, line
        self._seen: tuple[object, Picture] | None = None
        self._live = Live(console=console, refresh_per_second=_DRAWINGS, transient=True, get_renderable=self.render)

    def __enter__(self) -> TerminalView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def render(self) -> Panel:
        """The panel as it stands."""
        now = self._state.now
        pictures = self._console.width >= _WIDE and self._console.color_system in ("truecolor", "256")
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold", ratio=1)
        for name, content in self._rows(now, pictures):
            table.add_row(name, content)
        body: RenderableType = table
        if pictures and now.decision is not None:
            beside = Table.grid(padding=(0, 2), expand=True)
            beside.add_column(ratio=1)
            beside.add_column()
            beside.add_row(table, self._picture(next(iter(now.decision.observation.images.values()))))
            body = beside
        parts = [body] if self._line is None else [body, self._line.render()]
        return Panel(Group(*parts), title=Text(f"{now.robot} - {now.modality}"), border_style="cyan")

    def _rows(self, now: Snapshot, pictures: bool) -> list[tuple[str, RenderableType]]:
        decision, text = now.decision, self._controls.text
        rows: list[tuple[str, RenderableType]] = [("instruction", Text(now.instruction, "strike" if text else ""))]
        if text is None and decision is not None and decision.condition == "text":
            text = decision.text  # an onlooker's
        if text is not None:
            rows.append(("following", Text(text, "bold magenta")))
        rows.append(("thought", _thought(now.thought)))
        if decision is None:
            return rows
        rows += [
            ("action", Text(describe_action(decision.chunk))),
            ("latency", Text(describe_latencies(decision.latencies))),
            ("margin", _margin(decision.margin, now)),
            ("act", _bars(now.periods)),
        ]
        if now.limiter is not None:
            rows.append(("limiter", _limiter(now.limiter)))
        if not pictures or decision.frame_ages:
            rows.append(("camera", Text(_cameras(now))))
        rows.append(("solved", Text(f"{now.solved} of {now.ended} (of {now.episodes} episodes)")))
        rows.append(("link", Text(" ".join(f"{name} {count}" for name, count in now.counters.items()))))
        return rows

    def _picture(self, image: NDArray[np.uint8]) -> Picture:
        if self._seen is None or self._seen[0] is not image:
            self._seen = (image, Picture(image, _PICTURE))
        return self._seen[1]


def _thought(thought: ThoughtProgress | None) -> Text:
    if thought is None:
        return Text("")
    text = Text(thought.text)
    if thought.state == "writing":
        return text.append("▌", "blink cyan")
    age = time.monotonic() - thought.observed
    ending = "" if thought.state == "finished" else f"{thought.state}, "
    return text.append(f"  ({ending}{thought.tokens} tokens, {age:.1f} s ago)", "dim")


def _margin(margin: float | None, now: Snapshot) -> Text:
    text = Text("time stands still between ticks" if margin is None else f"{margin * 1e3:+.1f} ms")
    if margin is None:
        text.stylize("dim")
    elif margin < 0:
        text.stylize("bold red")
    return text.append(f"  late {now.late}", "red" if now.late else "dim")


def _bars(periods: tuple[Period, ...], count: int = 48) -> Text:
    """The newest periods as bars: what an action waited for, late ones red."""
    shown = periods[-count:]
    highest = max((period.act + period.before for period in shown), default=0.0) or 1.0
    text = Text()
    for period in shown:
        bar = _BARS[round((period.act + period.before) / highest * (len(_BARS) - 1))]
        text.append(bar, "red" if period.late else "magenta" if period.before + period.beside > 0 else "cyan")
    return text.append(f"  highest {highest * 1e3:.1f} ms", "dim")


def _limiter(limiter: LimiterState) -> Text:
    waiting = limiter.waiting_for
    doing = Text("thinking", "magenta") if not waiting else Text(f"waits for {waiting}", "dim")
    left = [(limiter.thoughts, ".1f", "thoughts"), (limiter.tokens, ".0f", "tokens")]
    words = ", ".join(f"{number:{form}} {name}" for number, form, name in left if math.isfinite(number))
    return doing.append(f"  {words} left" if words else "", "default")


def _cameras(now: Snapshot) -> str:
    assert now.decision is not None
    ages = now.decision.frame_ages
    parts = []
    for name, image in now.decision.observation.images.items():
        age = f" {ages[name] * 1e3:.0f} ms old" if name in ages else ""
        parts.append(f"{name} {image.shape[1]}x{image.shape[0]}{age}")
    return "  ".join(parts)
