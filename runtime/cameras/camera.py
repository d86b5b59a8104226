"""What every camera gives: its newest image, when that was taken, and when the picture last changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8 (height, width, 3), RGB."""


@dataclass(frozen=True)
class Frame:
    """One image. Times are those of `time.monotonic()`, in seconds.

    taken:   when it was taken, as far as the source tells; else when it had arrived whole
    changed: when the camera's picture was last another than the one before it
    """

    image: Image
    taken: float
    changed: float


class Camera(Protocol):
    """One camera that was opened and has given its first image. Not for several threads."""

    def frame(self) -> Frame:
        """The newest image, without waiting for another; raises RobotError when the camera has failed."""

    def close(self) -> None:
        """Give the device back."""
