"""The live view of a drive in the terminal; plain lines, one an episode, where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hyt.runtime.actions import ActionChunk
from hyt.runtime.listener import Decision, EpisodeResult, Listener


class View(Listener):
    """Shows instruction, modality, thought, action, latencies, score and link health of one robot's episodes.

    It is told of every decision between two moves of the robot and draws at most 12 times a second.
    """

    def __init__(
        self,
        console: Console,
        *,
        robot: str,
        modality: str,
        episodes: int,
        counters: Callable[[], Mapping[str, int]],
        live: bool = True,
    ) -> None:
        self._console = console
        self._title = f"{robot} - {modality}"
        self._episodes = episodes
        self._counters = counters
        self._counted: Mapping[str, int] = {}
        self._instruction = ""
        self._decision: Decision | None = None
        self._ended = 0
        self._successes = 0
        self._live = (
            Live(console=console, refresh_per_second=12, transient=True, get_renderable=self.render)
            if live and console.is_terminal
            else None
        )

    def __enter__(self) -> View:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def episode_started(self, seed: int, instruction: str) -> None:
        """Show the new instruction."""
        self._instruction = instruction
        self._decision = None

    def decided(self, decision: Decision) -> None:
        """Show the newest decision."""
        self._decision = decision
        # Counted here, in the loop's thread: the panel is drawn in another, and the link has one owner.
        self._counted = self._counters()

    def episode_ended(self, result: EpisodeResult) -> None:
        """Count the episode; without a terminal, print its line."""
        self._ended += 1
        self._successes += result.success
        if self._live is None:
            self._console.print(
                f"{self._title}: episode {self._ended}/{self._episodes} seed {result.seed} "
                f"{'solved' if result.success else 'not solved'} in {result.decisions} decisions, "
                f"{self._successes}/{self._ended} solved",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def render(self) -> Panel:
        """The panel as it stands."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row("instruction", Text(self._instruction))
        table.add_row("thought", Text(self._decision.text if self._decision else ""))
        table.add_row("action", describe_action(self._decision.chunk) if self._decision else "")
        table.add_row("latency", describe_latencies(self._decision.latencies) if self._decision else "")
        table.add_row("solved", f"{self._successes} of {self._ended} (of {self._episodes} episodes)")
        table.add_row("link", Text(" ".join(f"{name} {count}" for name, count in self._counted.items())))
        return Panel(Group(table), title=Text(self._title), border_style="cyan")


def describe_action(chunk: ActionChunk) -> str:
    """The first step of a chunk in words: `x +0.012 m  y -0.001 m  gripper +1.000  (42% sure)`, of tokens."""
    parts = [
        f"{dimension.name} {value:+.3f}{unit_suffix(dimension.unit)}"
        for dimension, value in zip(chunk.dimensions, chunk.values[0], strict=True)
    ]
    sure = "" if chunk.confidence is None else f"  ({chunk.confidence:.0%} sure)"
    return f"{'  '.join(parts)}{sure}"


def unit_suffix(unit: str) -> str:
    """` m` behind a number; nothing for a number without a unit, which the contract writes as 1."""
    return "" if unit in ("", "1") else f" {unit}"


def describe_latencies(seconds: Mapping[str, float]) -> str:
    """Latencies in words, in milliseconds: `vision 4.1  prefill 2.0 ms`."""
    shown = ("vision", "prefill", "thought", "decode", "policy", "acknowledge")
    return "  ".join(f"{phase} {seconds[phase] * 1e3:.1f}" for phase in shown if phase in seconds) + " ms"
