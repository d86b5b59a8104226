"""Frames of a video by time, for datasets that keep their cameras so; needs PyAV (`pip install 'hyt[video]'`)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hyt.errors import DatasetError, MissingDependencyError

OPEN_VIDEOS = 4
"""At most so many videos are open at a time, each with the one frame that was decoded last."""


class VideoReader:
    """Decodes the frame shown at a time; fast forwards, and going back costs a seek to the last key frame."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, _Stream] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """A copy for another process opens its own videos."""
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._open = OrderedDict()

    def frame(self, path: Path, time: float, tolerance: float) -> npt.NDArray[np.uint8]:
        """The frame (H, W, 3) within `tolerance` seconds of `time`; raises DatasetError when there is none."""
        stream = self._open.get(path)
        if stream is None:
            stream = self._open[path] = _Stream(path)
            if len(self._open) > OPEN_VIDEOS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return stream.frame(time, tolerance)


class _Stream:
    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError as missing:
            raise MissingDependencyError(
                f"{path}",
                expected="PyAV, as its cameras are videos",
                received=str(missing),
                remedy="pip install 'hyt[video]'",
            ) from None
        self._path = path
        self._errors = (av.FFmpegError, OSError, IndexError, ValueError)
        try:
            self._container = av.open(str(path))
            self._video = self._container.streams.video[0]
            self._step = float(1 / self._video.average_rate)
        except (*self._errors, TypeError, ZeroDivisionError) as problem:
            raise DatasetError(f"{path}", expected="a video", received=str(problem)) from None
        self._frames: Iterator[Any] = iter(())
        self._now: Any = None

    def close(self) -> None:
        self._container.close()

    def frame(self, time: float, tolerance: float) -> npt.NDArray[np.uint8]:
        try:
            # Decoding on is cheaper than seeking when the frame is near.
            if self._now is None or not self._now.time - tolerance <= time <= self._now.time + 1.0:
                self._container.seek(max(int(time / self._video.time_base), 0), stream=self._video)
                self._frames, self._now = self._container.decode(self._video), None
            while self._now is None or self._now.time < time - tolerance:
                self._now = next(self._frames)
            if self._now.time > time + tolerance:
                raise StopIteration
            pixels: npt.NDArray[np.uint8] = self._now.to_ndarray(format="rgb24")
        except StopIteration:
            self._now = None
            raise DatasetError(f"{self._path}", expected=f"a frame at {time:.3f} s", received="none") from None
        except self._errors as problem:
            raise DatasetError(f"{self._path}", expected="frames", received=str(problem)) from None
        return pixels
