"""A camera that is a recorded video: one frame at each look, however fast it was recorded."""

from __future__ import annotations

import time
from pathlib import Path

from hyt.errors import RobotError
from hyt.runtime.cameras.camera import Frame
from hyt.runtime.cameras.opencv import not_there, opencv


class VideoFile:
    """The frames of a video, taken when they are asked for; RobotError after the last."""

    def __init__(self, name: str, path: Path) -> None:
        self._cv2, self._name = opencv(name), name
        self._capture = self._cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise not_there(name, "a video that OpenCV reads", str(path))

    def frame(self) -> Frame:
        """The next frame, as of now; it never counts as frozen."""
        good, image = self._capture.read()
        if not good:
            raise RobotError(f"camera {self._name!r}", expected="an image", received="the end of the video")
        now = time.monotonic()
        return Frame(self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB), now, now)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()
