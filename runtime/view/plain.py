"""What a drive prints where there is no live view: one plain line an episode."""

from __future__ import annotations

from rich.console import Console

from hyt.runtime.listener import EpisodeResult, Listener


class PlainLines(Listener):
    """Prints how each of a robot's episodes went."""

    def __init__(self, console: Console, *, robot: str, modality: str, episodes: int) -> None:
        self._console = console
        self._title = f"{robot} - {modality}"
        self._episodes = episodes
        self._ended = self._solved = 0

    def episode_ended(self, result: EpisodeResult) -> None:
        """Print the episode's line."""
        self._ended += 1
        self._solved += result.success
        self._console.print(
            f"{self._title}: episode {self._ended}/{self._episodes} seed {result.seed} "
            f"{'solved' if result.success else 'not solved'} in {result.decisions} decisions, "
            f"{self._solved}/{self._ended} solved",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
