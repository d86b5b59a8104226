"""Where images come from: folders of images, video files, V4L2 devices; read by OpenCV (`pip install 'hyt[camera]'`).

Every image comes with the time it was taken, so that an old one can be refused.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hyt.errors import InputError, MissingDependencyError, RobotError
from hyt.runtime import contract
from hyt.runtime.serial_robot.description import CameraTable

Image = NDArray[np.uint8]
FIRST_FRAME = 5.0  # seconds in which a device must give its first image
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".ppm"}


class Camera(Protocol):
    """One camera. Its images are uint8 (height, width, 3), RGB."""

    def frame(self) -> tuple[Image, float]:
        """The newest image and when it was taken, by `time.monotonic()`; raises RobotError when there is none."""

    def close(self) -> None:
        """Give the device back."""


class Folder:
    """The images of a folder, each once, in the order of their names, and then again; taken when they are asked for."""

    def __init__(self, name: str, folder: Path) -> None:
        self._cv2 = _opencv(name)
        self._name, self._files, self._next = name, _images(name, folder), 0

    def frame(self) -> tuple[Image, float]:
        """The next image, as of now."""
        path = self._files[self._next % len(self._files)]
        self._next += 1
        return _read(self._cv2, self._name, path), time.monotonic()

    def close(self) -> None:
        """Nothing to give back."""


class Newest:
    """The image of a folder that was written last, by some other program; taken when it was written."""

    def __init__(self, name: str, folder: Path) -> None:
        self._cv2 = _opencv(name)
        self._name, self._folder = name, folder
        _images(name, folder)

    def frame(self) -> tuple[Image, float]:
        """The newest image; its age is that of its file."""
        path = max(_images(self._name, self._folder), key=lambda path: path.stat().st_mtime_ns)
        age = time.time() - path.stat().st_mtime
        return _read(self._cv2, self._name, path), time.monotonic() - age

    def close(self) -> None:
        """Nothing to give back."""


class VideoFile:
    """The frames of a video, one at each call; RobotError after the last."""

    def __init__(self, name: str, path: Path) -> None:
        self._cv2, self._name = _opencv(name), name
        self._capture = self._cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise InputError(f"camera {name!r}: source", expected="a video that OpenCV reads", received=str(path))

    def frame(self) -> tuple[Image, float]:
        """The next frame, as of now."""
        good, image = self._capture.read()
        if not good:
            raise RobotError(f"camera {self._name!r}", expected="an image", received="the end of the video")
        return self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB), time.monotonic()

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


class Device:
    """A V4L2 device, read by a thread of its own, so that the newest image is at hand and not the oldest of a queue."""

    def __init__(self, name: str, path: str) -> None:
        self._cv2, self._name, self._path = _opencv(name), name, path
        self._capture = self._cv2.VideoCapture(int(path) if path.isdigit() else path)
        if not self._capture.isOpened():
            raise InputError(
                f"camera {name!r}: source",
                expected="a camera",
                received=f"none at {path}",
                remedy="look for it with `ls /dev/v4l/by-id`, and check that you are in the group video",
            )
        self._lock = threading.Lock()
        self._newest: tuple[Image, float] | None = None
        self._first, self._closing = threading.Event(), False
        self._thread = threading.Thread(target=self._read, name=f"hyt camera {name}", daemon=True)
        self._thread.start()

    def frame(self) -> tuple[Image, float]:
        """The newest image; its time is when it had arrived whole."""
        self._first.wait(FIRST_FRAME)
        with self._lock:
            if self._newest is None:
                raise RobotError(f"camera {self._name!r}", expected="an image", received=f"none from {self._path}")
            return self._newest

    def close(self) -> None:
        """End the thread and give the device back."""
        self._closing = True
        self._thread.join(FIRST_FRAME)
        self._capture.release()

    def _read(self) -> None:
        while not self._closing:
            good, image = self._capture.read()
            if not good:
                time.sleep(0.01)  # unplugged: the last image grows old, which stops the run
                continue
            rgb = self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB)
            with self._lock:
                self._newest = (rgb, time.monotonic())
            self._first.set()


def open_camera(table: CameraTable, folder: Path) -> Camera:
    """The camera that robot.toml describes, its paths relative to `folder`.

    Raises InputError when there is nothing there, MissingDependencyError without OpenCV.
    """
    kind, _, where = table.source.partition(":")
    path = folder / where
    if kind == "images":
        return Folder(table.name, path)
    if kind == "newest":
        return Newest(table.name, path)
    return VideoFile(table.name, path) if path.is_file() else Device(table.name, where)


def fresh(camera: Camera, table: CameraTable, wanted: contract.Camera) -> Image:
    """Its newest image, in the policy's size if robot.toml says so; raises RobotError when it is older than max_age."""
    image, taken = camera.frame()
    age = time.monotonic() - taken
    if age > table.max_age:
        raise RobotError(
            f"camera {table.name!r}",
            expected=f"an image of at most {table.max_age:g} s of age",
            received=f"one of {age:.2f} s",
            remedy="check that it runs and is plugged in",
        )
    if table.resize and image.shape[:2] != (wanted.height, wanted.width):
        cv2 = _opencv(table.name)
        image = cv2.resize(image, (wanted.width, wanted.height), interpolation=cv2.INTER_AREA)
    return image


def _opencv(name: str) -> Any:
    try:
        import cv2
    except ImportError as problem:
        raise MissingDependencyError(
            f"camera {name!r}", expected="OpenCV", received=str(problem), remedy="pip install 'hyt[camera]'"
        ) from None
    return cv2


def _images(name: str, folder: Path) -> list[Path]:
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        received = "none" if folder.is_dir() else "no such folder"
        raise InputError(f"camera {name!r}: source", expected=f"a folder of images at {folder}", received=received)
    return files


def _read(cv2: Any, name: str, path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise RobotError(f"camera {name!r}", expected="an image", received=f"{path.name}, which OpenCV cannot read")
    rgb: Image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb
