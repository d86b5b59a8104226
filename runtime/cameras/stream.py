"""A camera that runs by itself: a thread of its own reads it, so that a look never waits and finds the newest image.

Nothing of a slow or broken driver reaches the loop. Opening and reading may block for ever, in the thread; a look sees
an image that grows old, a picture that no longer changes, or a camera that gave up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hyt.errors import HytError, RobotError
from hyt.runtime.cameras.camera import Frame, Image

FIRST_IMAGE = 5.0  # seconds in which a camera must have been opened and have given its first image
GOOD_STAMP = 10.0  # seconds; a driver's time of an image that lies further back is of another clock
FAILURES = 5  # in a row; a damaged image now and then is none
PAUSE = 0.02  # seconds after a failure


class Stream:
    """Reads what `open_capture` opens, a `cv2.VideoCapture`; `cv2` is OpenCV, `remedy` what to do when it fails.

    Raises what `open_capture` raises, and RobotError when there is no image within FIRST_IMAGE seconds.
    """

    def __init__(
        self,
        name: str,
        cv2: Any,
        open_capture: Callable[[], Any],
        *,
        remedy: str = "check its cable and power, then drive again",
    ) -> None:
        self._name, self._cv2, self._open, self._remedy = name, cv2, open_capture, remedy
        self._lock = threading.Lock()  # guards what the thread writes
        self._newest: Frame | None = None
        self._failure: HytError | None = None
        self._ready, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"hyt camera {name}", daemon=True)
        self._thread.start()
        self._ready.wait(FIRST_IMAGE)
        try:
            self.frame()
        except HytError:
            self.close()
            raise

    def frame(self) -> Frame:
        """The newest image, at once; raises RobotError when the camera has failed."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._newest is None:
                raise self._failed(f"none in {FIRST_IMAGE:g} s")
            return self._newest

    def close(self) -> None:
        """End the thread, which gives the device back; a thread that hangs in the driver is left to it."""
        self._closing.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            capture = self._open()
        except HytError as problem:
            self._give_up(problem)
            return
        except Exception as problem:  # whatever OpenCV raises, it must not pass in silence
            self._give_up(self._failed(str(problem)))
            return
        try:
            self._read(capture)
        except Exception as problem:
            self._give_up(self._failed(str(problem)))
        finally:
            capture.release()

    def _read(self, capture: Any) -> None:
        kernel_times = capture.getBackendName() == "V4L2"
        before: Image | None = None
        changed, failures = 0.0, 0
        while not self._closing.is_set():
            good, image = capture.read()
            now = time.monotonic()
            if not good:
                failures += 1
                if failures == FAILURES:
                    self._give_up(self._failed("none any more: it was unplugged, or its stream has ended"))
                    return
                self._closing.wait(PAUSE)
                continue
            failures = 0
            taken = _stamp(capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000, now) if kernel_times else now
            if before is None or not np.array_equal(image, before):
                before, changed = image, taken
            frame = Frame(self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB), taken, changed)
            with self._lock:
                self._newest = frame
            self._ready.set()

    def _give_up(self, failure: HytError) -> None:
        with self._lock:
            self._failure = failure
        self._ready.set()

    def _failed(self, received: str) -> RobotError:
        return RobotError(f"camera {self._name!r}", expected="an image", received=received, remedy=self._remedy)


def _stamp(stamp: float, now: float) -> float:
    """The kernel's time of an image, where it is of the monotonic clock, as V4L2's mostly are; else when it arrived."""
    return stamp if 0 <= now - stamp < GOOD_STAMP else now
