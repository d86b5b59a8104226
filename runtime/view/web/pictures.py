"""The newest camera images as PNG, each encoded once however many pages ask for it."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from hyt.runtime.png import encode_png
from hyt.runtime.view.state import Snapshot

LARGEST = 640
"""Pixels of the longer side; larger images are thinned out."""


class Pictures:
    """Encodes in the thread of whoever asks; zlib gives the interpreter to others meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, tuple[NDArray[np.uint8], bytes]] = {}

    def png(self, now: Snapshot, camera: str) -> bytes | None:
        """The camera's image in this snapshot; None without one."""
        image = None if now.decision is None else now.decision.observation.images.get(camera)
        if image is None:
            return None
        with self._lock:
            known = self._last.get(camera)
            if known is None or known[0] is not image:
                stride = -(-max(image.shape[:2]) // LARGEST)
                known = self._last[camera] = (image, encode_png(image[::stride, ::stride]))
        return known[1]
