"""Cameras that are folders: recorded images one after the other, or the image that another program wrote last."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from hyt.runtime.cameras.camera import Frame, Image
from hyt.runtime.cameras.opencv import not_there, opencv, read_image

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".ppm"}


class Folder:
    """The images of a folder, each once, in the order of their names, and then again; taken when they are asked for."""

    def __init__(self, name: str, folder: Path) -> None:
        self._cv2 = opencv(name)
        self._name, self._files, self._next = name, _images(name, folder), 0

    def frame(self) -> Frame:
        """The next image, as of now; it never counts as frozen."""
        path = self._files[self._next % len(self._files)]
        self._next += 1
        image, now = read_image(self._cv2, self._name, path), time.monotonic()
        return Frame(image, now, now)

    def close(self) -> None:
        """Nothing to give back."""


class Newest:
    """The image of a folder that was written last, by some other program; taken when it was written."""

    def __init__(self, name: str, folder: Path) -> None:
        self._cv2 = opencv(name)
        self._name, self._folder = name, folder
        self._before: Image | None = None
        self._changed = 0.0
        _images(name, folder)

    def frame(self) -> Frame:
        """The newest image; its age is that of its file."""
        path = max(_images(self._name, self._folder), key=lambda path: path.stat().st_mtime_ns)
        age = time.time() - path.stat().st_mtime
        image, taken = read_image(self._cv2, self._name, path), time.monotonic() - age
        if self._before is None or not np.array_equal(image, self._before):
            self._changed = max(self._changed, taken)
        self._before = image
        return Frame(image, taken, self._changed)

    def close(self) -> None:
        """Nothing to give back."""


def _images(name: str, folder: Path) -> list[Path]:
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise not_there(name, f"a folder of images at {folder}", "none" if folder.is_dir() else "no such folder")
    return files
