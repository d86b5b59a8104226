"""What a drive prints where there is no live view: one plain line an episode."""

from __future__ import annotations

from rich.console import Console

from hyt.runtime.listener import EpisodeResult, Listener
from hyt.runtime.robot import Robot


class PlainLines(Listener):
    """Prints how each of a robot's episodes went."""

    def __init__(self, console: Console, robot: Robot, *, modality: str, episodes: int) -> None:
        self._console = console
        self._title, self._judges = f"{robot.name} - {modality}", robot.judges
        self._episodes = episodes
        self._ended = self._solved = 0

    def episode_ended(self, result: EpisodeResult) -> None:
        """Print the episode's line."""
        self._ended += 1
        self._solved += result.success
        line = f"{self._title}: episode {self._ended}/{self._episodes}"
        if self._judges:
            how = "solved" if result.success else "not solved"
            line += f" seed {result.seed} {how} in {result.decisions} decisions, {self._solved}/{self._ended} solved"
        else:
            line += f" ended after {result.decisions} decisions"
        self._console.print(
            line,
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
