"""Tests of hyt.simulation.film: the film of an episode, read back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from hyt.runtime.actions import ActionChunk
from hyt.runtime.contract import ActionDimension
from hyt.runtime.listener import Decision, EpisodeResult
from hyt.simulation.film import FRAME, FilmRecorder, Frame, draw, filmstrip
from hyt.simulation.robot import SimulatedRobot

AXIS = ActionDimension(
    name="x", unit="m", low=-1, high=1, semantics="delta", frame="world", relative_to="last_setpoint"
)
CHUNK = ActionChunk(np.array([[0.25]], np.float32), 0.0625, np.zeros(1, np.int32), np.ones(1, np.float32), (AXIS,))
GREY = np.full((FRAME, FRAME, 3), 128, np.uint8)


def decision(text: str) -> Decision:
    return Decision(1, cast(Any, None), text, CHUNK, cast(Any, None), {})


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Twelve frames of two decisions, filmed."""
    arm = SimpleNamespace(task=SimpleNamespace(name="door-open-v3"), render=lambda size: GREY)
    robot = cast(SimulatedRobot, SimpleNamespace(arm=arm, on_control_step=None))
    recorder = FilmRecorder(robot, tmp_path, "think")
    recorder.episode_started(7, "open the door")
    for text in ("plan reach", "plan pull"):
        for _ in range(6):
            assert robot.on_control_step is not None
            robot.on_control_step(cast(Any, arm))
        recorder.decided(decision(text))
    recorder.episode_ended(EpisodeResult(7, True, 2, 0, 1.0, {}))
    assert robot.on_control_step is None
    return tmp_path


def test_a_film_is_a_video_and_a_strip_named_after_task_mode_and_seed(film: Path) -> None:
    assert sorted(path.name for path in film.iterdir()) == ["door-open-v3-think-7.mp4", "door-open-v3-think-7.png"]


def test_the_video_has_a_frame_for_each_control_step(film: Path) -> None:
    frames = imageio_ffmpeg.read_frames(str(film / "door-open-v3-think-7.mp4"))
    assert next(frames)["size"] == (FRAME, FRAME + 80)
    assert sum(1 for _ in frames) == 12


def test_the_strip_shows_eight_frames_in_two_rows(film: Path) -> None:
    with Image.open(film / "door-open-v3-think-7.png") as strip:
        assert strip.size == (4 * FRAME, 2 * (FRAME + 80))


@pytest.mark.parametrize(("count", "size"), [(1, (320, 400)), (3, (640, 800))])
def test_a_short_episode_makes_a_short_strip(count: int, size: tuple[int, int]) -> None:
    assert filmstrip([draw(Frame(GREY), ("open", "act"))] * count).size == size


def test_the_thought_is_drawn_below_the_picture() -> None:
    silent = np.asarray(draw(Frame(GREY, "", "x +0.250 m"), ("open", "think")))
    spoken = np.asarray(draw(Frame(GREY, "plan reach " * 20, "x +0.250 m"), ("open", "think")))
    np.testing.assert_array_equal(silent[:FRAME], GREY)
    np.testing.assert_array_equal(spoken[:FRAME], GREY)
    assert (silent[FRAME:] != spoken[FRAME:]).any()
