"""Folders as cameras: images in the right colours and order, and the one that was written last with its age."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from hyt.errors import InputError, RobotError
from hyt.runtime import contract
from hyt.runtime.cameras import CameraTable, look, open_camera

WANTED = contract.Camera(name="front", height=8, width=8)
RED, BLUE = (200, 0, 0), (0, 0, 200)


def table(source: str, **changes: object) -> CameraTable:
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
    seen = [colour(look(camera, table("images:f"), WANTED)[0]) for _ in range(3)]
    assert seen == [RED, BLUE, RED]


def test_the_newest_image_is_the_one_last_written_and_an_old_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "f" / "a.png", BLUE)
    write(tmp_path / "f" / "b.png", RED)
    newest = table("newest:f", max_age=5)
    camera = open_camera(newest, tmp_path)
    os.utime(tmp_path / "f" / "a.png", (time.time(), time.time() - 100))
    image, taken = look(camera, newest, WANTED)
    assert colour(image) == RED
    assert 0 <= time.monotonic() - taken < 5
    os.utime(tmp_path / "f" / "b.png", (time.time(), time.time() - 20))
    with pytest.raises(RobotError) as caught:
        look(camera, newest, WANTED)
    assert str(caught.value).startswith("camera 'front'; expected an image of at most 5 s of age; received one of 20.")
    assert caught.value.exit_code == 10


def test_the_same_picture_written_again_and_again_is_a_frozen_camera(tmp_path: Path) -> None:
    newest = table("newest:f", max_age=60, frozen_after=5)
    write(tmp_path / "f" / "0.png", RED)
    os.utime(tmp_path / "f" / "0.png", (time.time(), time.time() - 9))
    camera = open_camera(newest, tmp_path)
    write(tmp_path / "f" / "1.png", RED)
    changed = camera.frame().changed
    write(tmp_path / "f" / "2.png", RED)
    assert camera.frame().changed == changed
    write(tmp_path / "f" / "3.png", BLUE)
    assert camera.frame().changed > changed


def test_images_are_scaled_to_the_policys_size_only_when_told(tmp_path: Path) -> None:
    write(tmp_path / "f" / "0.png", RED, size=16)
    for resize, shape in ((False, (16, 16, 3)), (True, (8, 8, 3))):
        described = table("images:f", resize=resize)
        assert look(open_camera(described, tmp_path), described, WANTED)[0].shape == shape


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("images:none", "source; expected a folder of images at .*; received no such folder"),
        ("newest:empty", "source; expected a folder of images at .*; received none"),
    ],
)
def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=said):
        open_camera(table(source), tmp_path)


def test_a_file_that_is_no_image_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "0.png").write_text("no image")
    with pytest.raises(RobotError, match=r"expected an image; received 0\.png, which OpenCV cannot read"):
        open_camera(table("images:f"), tmp_path).frame()
