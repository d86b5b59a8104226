"""Cameras that run by themselves: the newest image without waiting; frozen, stalled and unplugged ones are noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from pipe_camera import Picture, PipeCamera, noise

from hyt.errors import HytError, InputError, RobotError
from hyt.runtime import contract
from hyt.runtime.cameras import Camera, CameraTable, look, open_camera
from hyt.runtime.cameras.stream import FAILURES, Stream

WANTED = contract.Camera(name="front", height=128, width=128)


def table(source: str = "video:camera.y4m", **changes: object) -> CameraTable:
    return CameraTable.model_validate({"name": "front", "source": source, **changes})


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Callable[..., PipeCamera]]:
    """A stream at camera.y4m in tmp_path."""
    started: list[PipeCamera] = []

    def start(picture: Picture = noise) -> PipeCamera:
        started.append(PipeCamera(tmp_path / "camera.y4m", picture))
        return started[-1]

    yield start
    for one in started:
        one.unplug()


def refusal(camera: Camera, described: CameraTable, seconds: float = 15.0) -> str:
    """What a look at the camera is refused with, sooner or later."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            look(camera, described, WANTED)
        except RobotError as problem:
            return str(problem)
        time.sleep(0.01)
    raise AssertionError("it was never refused")


def test_a_stream_gives_its_newest_image_in_rgb_with_its_age_and_a_look_waits_for_none(
    camera: Callable[..., PipeCamera], tmp_path: Path
) -> None:
    shades = [(200, 30, 30), (30, 30, 200)]
    camera(lambda index: np.full((128, 128, 3), shades[min(index, 1)], np.uint8))
    source = open_camera(table(), tmp_path)
    deadline = time.monotonic() + 10
    while abs(int(source.frame().image[0, 0, 2]) - 200) > 8:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    np.testing.assert_allclose(source.frame().image.mean(axis=(0, 1)), shades[1], atol=8)
    began = time.monotonic()
    frames = [source.frame() for _ in range(1000)]
    assert time.monotonic() - began < 2  # a thousand images at 25 a second take 40 s
    assert all(frame.taken <= time.monotonic() for frame in frames)
    source.close()


def test_a_stalled_stream_is_refused_by_the_age_of_its_last_image(
    camera: Callable[..., PipeCamera], tmp_path: Path
) -> None:
    running, described = camera(), table(max_age=1.0)
    source = open_camera(described, tmp_path)
    look(source, described, WANTED)
    running.stall()
    said = refusal(source, described)
    assert said.startswith("camera 'front'; expected an image of at most 1 s of age; received one of ")
    source.close()  # although its thread still waits for the next image


def test_a_frozen_stream_is_refused_although_its_images_are_new(
    camera: Callable[..., PipeCamera], tmp_path: Path
) -> None:
    running, described = camera(), table(max_age=30, frozen_after=1.0)
    source = open_camera(described, tmp_path)
    look(source, described, WANTED)
    running.freeze()
    assert "expected a picture that changes within 1 s; received the same pixels for " in refusal(source, described)
    allowed = table(max_age=30, frozen_after=0)
    look(source, allowed, WANTED)
    source.close()


def test_an_unplugged_camera_is_told_from_an_old_image(camera: Callable[..., PipeCamera], tmp_path: Path) -> None:
    running, described = camera(), table(max_age=60)
    source = open_camera(described, tmp_path)
    running.unplug()
    assert refusal(source, described) == (
        "camera 'front'; expected an image; received none any more: it was unplugged, or its stream has ended; "
        "check its cable and power, then drive again"
    )
    source.close()


def test_one_that_never_gives_an_image_is_refused_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyt.runtime.cameras.stream.FIRST_IMAGE", 0.3)
    silent = PipeCamera(tmp_path / "camera.y4m")
    silent.stall()
    with pytest.raises(RobotError, match=r"camera 'front'; expected an image; received none in 0.3 s"):
        open_camera(table(), tmp_path)
    silent.unplug()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("video:nothing", "source; expected a camera, a video or a stream; received nothing at "),
        ("video:/dev/video97", "source; expected a camera; received none at /dev/video97; look for it"),
        ("video:http://127.0.0.1:9/none", "source; expected a stream that OpenCV reads; received http://127.0.0.1:9/"),
    ],
)
def test_a_source_that_is_not_there_is_one_line(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_camera(table(source), tmp_path)


class Capture:
    """What a cv2.VideoCapture does, by a list: an image, None where it fails, or an error it raises."""

    def __init__(self, script: list[object], stamp: float | None = None) -> None:
        self._script, self._stamp = iter(script), stamp
        self.hold = threading.Event()

    def getBackendName(self) -> str:  # noqa: N802 - OpenCV's name
        return "V4L2" if self._stamp is not None else "FFMPEG"

    def get(self, key: int) -> float:
        assert key == cv2.CAP_PROP_POS_MSEC
        assert self._stamp is not None
        return self._stamp * 1000

    def read(self) -> tuple[bool, object]:
        step = next(self._script, "hold")
        if isinstance(step, str):
            self.hold.wait(10)
            return False, None
        if isinstance(step, Exception):
            raise step
        return step is not None, step

    def release(self) -> None:
        self.hold.set()


def test_a_damaged_image_now_and_then_is_no_failure_and_one_after_the_other_is() -> None:
    few, many = [None] * (FAILURES - 1), [None] * FAILURES
    capture = Capture([noise(0), *few, noise(1), *few, noise(2), "hold"])
    source = Stream("front", cv2, lambda: capture)
    deadline = time.monotonic() + 10
    while not np.array_equal(source.frame().image, noise(2)[:, :, ::-1]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    capture.hold.set()
    with pytest.raises(RobotError, match="none any more"):
        Stream("front", cv2, lambda: Capture([*many]))


def look_until_it_fails(opened: Callable[[], Capture]) -> None:
    source = Stream("front", cv2, opened)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        source.frame()


def test_what_a_driver_raises_ends_in_a_line_and_not_in_a_thread_that_died_in_silence() -> None:
    def unopened() -> Capture:
        raise OSError("no such ioctl")

    broken = Capture([noise(0), cv2.error("select() timeout"), "hold"])
    for opened, said in ((unopened, "no such ioctl"), (lambda: broken, r"select\(\) timeout")):
        with pytest.raises(HytError, match=f"camera 'front'; expected an image; received .*{said}"):
            look_until_it_fails(opened)


def test_the_kernels_time_of_an_image_counts_where_it_is_of_our_clock() -> None:
    now = time.monotonic()
    for stamp, early in ((now - 0.5, True), (now + 1e6, False), (0.04, False)):
        source = Stream("front", cv2, lambda stamp=stamp: Capture([noise(0), "hold"], stamp))
        taken = source.frame().taken
        assert (taken == pytest.approx(stamp)) is early
        if not early:
            assert now <= taken <= time.monotonic()
        source._closing.set()
