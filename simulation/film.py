"""Films an episode: a video and a filmstrip with instruction, thought and action drawn in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from hyt.runtime.listener import Decision, EpisodeResult, Listener
from hyt.runtime.view.words import describe_action
from hyt.simulation.metaworld import MetaWorldArm
from hyt.simulation.robot import SimulatedRobot

FRAME = 320
"""Height and width of a frame in pixels, without its caption."""

FRAMES_PER_SECOND = 20
"""One frame a control step of 12.5 ms: the film runs at a quarter of real time."""

STRIP_FRAMES = 8
_CAPTION = 80
_MARGIN = 6
_INK, _PAPER, _THOUGHT = (235, 235, 235), (24, 26, 30), (140, 200, 255)


@dataclass
class Frame:
    """One picture, uint8 (320, 320, 3), and what is written below it."""

    image: npt.NDArray[np.uint8]
    text: str = ""
    action: str = ""


class FilmRecorder(Listener):
    """Records one episode of a robot; writes `TASK-MODE-SEED.mp4` and `.png` into the directory when it ends."""

    def __init__(self, robot: SimulatedRobot, directory: Path, modality: str) -> None:
        self._robot = robot
        self._directory = directory
        self._modality = modality
        self._instruction = ""
        self._frames: list[Frame] = []
        self._captioned = 0
        robot.on_control_step = self._film

    def episode_started(self, seed: int, instruction: str) -> None:
        """Begin a film."""
        self._instruction = instruction
        self._frames, self._captioned = [], 0

    def decided(self, decision: Decision) -> None:
        """Caption the frames that this decision moved."""
        action = describe_action(decision.chunk)
        for frame in self._frames[self._captioned :]:
            frame.text, frame.action = decision.text, action
        self._captioned = len(self._frames)

    def episode_ended(self, result: EpisodeResult) -> None:
        """Write the film and stop filming."""
        self._robot.on_control_step = None
        outcome = "solved" if result.success else "not solved"
        titles = (self._instruction, f"{self._modality}, seed {result.seed}: {outcome}")
        stem = f"{self._robot.arm.task.name}-{self._modality}-{result.seed}"
        pictures = [draw(frame, titles) for frame in self._frames]
        write_video(self._directory / f"{stem}.mp4", pictures)
        filmstrip(pictures).save(self._directory / f"{stem}.png")
        self._frames = []

    def _film(self, arm: MetaWorldArm) -> None:
        self._frames.append(Frame(arm.render(FRAME)))


def draw(frame: Frame, titles: tuple[str, str]) -> Image.Image:
    """A frame with its caption, RGB (320 + caption, 320): instruction, mode and outcome, thought, action."""
    picture = Image.new("RGB", (FRAME, FRAME + _CAPTION), _PAPER)
    picture.paste(Image.fromarray(frame.image), (0, 0))
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=11)
    lines = [(titles[0], _INK), (titles[1], _INK)]
    lines += [(line, _THOUGHT) for line in _wrap(frame.text, font)[:2]]
    lines.append((frame.action.replace("  ", " "), _INK))
    for row, (line, color) in enumerate(lines):
        pen.text((_MARGIN, FRAME + 3 + 15 * row), line, font=font, fill=color)
    return picture


def filmstrip(pictures: list[Image.Image], count: int = STRIP_FRAMES) -> Image.Image:
    """At most `count` pictures from first to last, evenly spaced, in two rows."""
    chosen = [pictures[i] for i in np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int)]
    columns = -(-len(chosen) // 2)
    width, height = chosen[0].size
    strip = Image.new("RGB", (columns * width, (2 if len(chosen) > 1 else 1) * height), _PAPER)
    for index, picture in enumerate(chosen):
        strip.paste(picture, (index % columns * width, index // columns * height))
    return strip


def write_video(path: Path, pictures: list[Image.Image]) -> None:
    """H.264 in an MP4 at `FRAMES_PER_SECOND`; width and height of the pictures are multiples of 16."""
    writer = imageio_ffmpeg.write_frames(
        str(path), pictures[0].size, fps=FRAMES_PER_SECOND, quality=7, macro_block_size=16, ffmpeg_log_level="error"
    )
    writer.send(None)
    try:
        for picture in pictures:
            writer.send(np.ascontiguousarray(picture))
    finally:
        writer.close()


def _wrap(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> list[str]:
    """Lines of words that fit into a frame's width."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= FRAME - 2 * _MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
