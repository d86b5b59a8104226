"""Cameras: images in the right colours and order, and old ones refused."""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hyt.errors import InputError, MissingDependencyError, RobotError
from hyt.runtime import contract
from hyt.runtime.serial_robot.cameras import fresh, open_camera
from hyt.runtime.serial_robot.description import CameraTable

WANTED = contract.Camera(name="front", height=8, width=8)
RED, BLUE = (200, 0, 0), (0, 0, 200)


def table(source: str, **changes: Any) -> CameraTable:
    return CameraTable.model_validate({"name": "front", "source": source, **changes})


def write(path: Path, colour: tuple[int, int, int], size: int = 8) -> None:
    path.parent.mkdir(exist_ok=True)
    image = np.full((size, size, 3), colour, np.uint8)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def colour(image: np.ndarray) -> tuple[int, ...]:
    return tuple(int(value) for value in image.mean(axis=(0, 1)))


def test_a_folder_gives_its_images_in_order_and_again_in_rgb(tmp_path: Path) -> None:
    write(tmp_path / "f" / "1.png", BLUE)
    write(tmp_path / "f" / "0.png", RED)
    (tmp_path / "f" / "notes.txt").write_text("no image")
    camera = open_camera(table("images:f"), tmp_path)
    seen = [colour(fresh(camera, table("images:f"), WANTED)) for _ in range(3)]
    assert seen == [RED, BLUE, RED]


def test_the_newest_image_is_the_one_last_written_and_an_old_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "f" / "a.png", BLUE)
    write(tmp_path / "f" / "b.png", RED)
    newest = table("newest:f", max_age=0.5)
    camera = open_camera(newest, tmp_path)
    os.utime(tmp_path / "f" / "a.png", (time.time(), time.time() - 100))
    assert colour(fresh(camera, newest, WANTED)) == RED
    os.utime(tmp_path / "f" / "b.png", (time.time(), time.time() - 2))
    with pytest.raises(RobotError) as caught:
        fresh(camera, newest, WANTED)
    assert str(caught.value).startswith("camera 'front'; expected an image of at most 0.5 s of age; received one of 2.")
    assert caught.value.exit_code == 10


def test_a_video_gives_its_frames_and_then_ends(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    for shade in (RED, BLUE):
        writer.write(np.full((64, 64, 3), shade[::-1], np.uint8))
    writer.release()
    camera = open_camera(table("video:v.avi"), tmp_path)
    for shade in (RED, BLUE):
        np.testing.assert_allclose(camera.frame()[0].mean(axis=(0, 1)), shade, atol=6)
    with pytest.raises(RobotError, match="received the end of the video"):
        camera.frame()
    camera.close()


def test_images_are_scaled_to_the_policys_size_only_when_told(tmp_path: Path) -> None:
    write(tmp_path / "f" / "0.png", RED, size=16)
    for resize, shape in ((False, (16, 16, 3)), (True, (8, 8, 3))):
        described = table("images:f", resize=resize)
        assert fresh(open_camera(described, tmp_path), described, WANTED).shape == shape


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("images:none", "source; expected a folder of images at .*; received no such folder"),
        ("newest:empty", "source; expected a folder of images at .*; received none"),
        ("video:/dev/video97", "source; expected a camera; received none at /dev/video97; look for it"),
    ],
)
def test_a_source_that_is_not_there_is_one_line(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=said):
        open_camera(table(source), tmp_path)


def test_a_file_that_is_no_image_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "0.png").write_text("no image")
    with pytest.raises(RobotError, match=r"expected an image; received 0\.png, which OpenCV cannot read"):
        open_camera(table("images:f"), tmp_path).frame()


def test_without_opencv_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imports: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "cv2":
            raise ModuleNotFoundError("No module named 'cv2'", name="cv2")
        return imports(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"expected OpenCV; .*; pip install 'hyt\[camera\]'"):
        open_camera(table("images:f"), tmp_path)
