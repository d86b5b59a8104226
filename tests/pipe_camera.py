"""A camera that can be frozen, stalled and unplugged: a thread that writes a Y4M stream into a named pipe.

To a program it is what a V4L2 device behind `ffmpeg` or GStreamer is: bytes of frames that come at a rate, or do not.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = Callable[[int], NDArray[np.uint8]]


def noise(index: int) -> NDArray[np.uint8]:
    """A picture of 128 x 128, RGB, of which no two are alike."""
    return np.random.default_rng(index).integers(0, 256, (128, 128, 3), dtype=np.uint8)


class PipeCamera:
    """Writes `picture(0)`, `picture(1)`, ..., (height, width, 3), RGB, `rate` a second, once somebody reads `path`."""

    def __init__(self, path: Path, picture: Picture = noise, *, rate: float = 25.0) -> None:
        os.mkfifo(path)
        self.path, self._picture, self._rate = path, picture, rate
        self._frozen = self._stalled = self._unplugged = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def freeze(self) -> None:
        """From now on send the same picture again and again, as a hung sensor behind a living bridge does."""
        self._frozen = True

    def stall(self) -> None:
        """From now on send nothing, the line stays open."""
        self._stalled = True

    def unplug(self) -> None:
        """End the stream."""
        self._unplugged = True
        # Whoever never read it: the thread waits to open the pipe.
        with contextlib.suppress(OSError):
            os.close(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK))
        self._thread.join(5)

    def _run(self) -> None:
        index = 0
        with contextlib.suppress(BrokenPipeError), self.path.open("wb", buffering=0) as pipe:
            height, width, _ = self._picture(0).shape
            pipe.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420jpeg\n".encode())
            while not self._unplugged:
                if not self._stalled:
                    pipe.write(b"FRAME\n" + cv2.cvtColor(self._picture(index), cv2.COLOR_RGB2YUV_I420).tobytes())
                index += not self._frozen
                time.sleep(1 / self._rate)
